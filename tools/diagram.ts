/** `npm run diagram`: prints a picture of the cluster of the working tree, as a Mermaid flowchart. */
import { join } from "node:path";
import { ReviewError, synthesizeCheckout } from "../review/base";
import { renderDiagram } from "../review/diagram";

synthesizeCheckout(join(__dirname, ".."), "the working tree").then(
  (document) => process.stdout.write(renderDiagram(document)),
  (error: Error) => {
    if (!(error instanceof ReviewError)) throw error;
    console.error(`diagram: ${error.message}`);
    process.exitCode = 1;
  },
);
