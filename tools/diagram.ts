/** `npm run diagram`: prints a picture of the cluster of the working tree, as a Mermaid flowchart. */
import { join } from "node:path";
import { synthesizeCheckout } from "../review/base";
import { renderDiagram } from "../review/diagram";
import { parseOptions, runProgram } from "./program";

async function main(args: string[]): Promise<number> {
  parseOptions(args, {});
  process.stdout.write(renderDiagram(await synthesizeCheckout(join(__dirname, ".."), "the working tree")));
  return 0;
}

runProgram({
  name: "diagram",
  usage: "npm run diagram    prints a picture of the cluster of the working tree, as a Mermaid flowchart",
  main,
});
