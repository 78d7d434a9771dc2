import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * What a page of the documents has its reader type under a heading, block by block.
 * @param page - its file's name in `docs/`
 */
export function shellBlocks(page: string, heading: string): string[] {
  const text = readFileSync(join(__dirname, "../docs", page), "utf8");
  const section = text.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block as string);
}
