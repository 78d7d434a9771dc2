import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The blocks of shell commands in a section of a document.
 * @param page - the file name in `docs/`
 * @param heading - the heading of the section
 */
export function shellBlocks(page: string, heading: string): string[] {
  return blocks("sh", page, heading);
}

/** Like {@link shellBlocks}, the blocks of Terraform's configuration language. */
export function configurationBlocks(page: string, heading: string): string[] {
  return blocks("hcl", page, heading);
}

function blocks(language: string, page: string, heading: string): string[] {
  const text = readFileSync(join(__dirname, "../docs", page), "utf8");
  const section = text.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/```(\w+)\n(.*?)```/gs)].flatMap(([, name, block]) =>
    name === language ? [block as string] : [],
  );
}
