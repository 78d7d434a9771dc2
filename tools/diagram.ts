/** `npm run diagram`: prints a picture of the cluster of the working tree, as a Mermaid flowchart. */
import { join } from "node:path";
import { cleanUpOnSignals, synthesizeStack } from "../review/base";
import { renderDiagram } from "../review/diagram";
import { parseOptions, runProgram } from "./program";

async function main(args: string[]): Promise<number> {
  const { stack } = parseOptions(args, { stack: { type: "string" } }).values;
  cleanUpOnSignals();
  process.stdout.write(renderDiagram(await synthesizeStack(join(__dirname, ".."), "the working tree", stack)));
  return 0;
}

runProgram({
  name: "diagram",
  usage: `npm run diagram    prints a picture of the cluster of the working tree, as a Mermaid flowchart

  --stack NAME    the stack to draw, if the app has several`,
  main,
});
