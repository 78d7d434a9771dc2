// Reads a JSON list of diagrams from stdin. Writes a JSON list with the error of Mermaid's own parser for each diagram, or
// null if there is none. It is a separate program, because Mermaid is an ES module and needs a browser's document.
import { text } from "node:stream/consumers";
import { JSDOM } from "jsdom";

const { window } = new JSDOM();
Object.assign(globalThis, { window, document: window.document });
const { default: mermaid } = await import("mermaid");

const errors = [];
for (const diagram of JSON.parse(await text(process.stdin))) {
  errors.push(
    await mermaid.parse(diagram).then(
      () => null,
      (error) => error.message,
    ),
  );
}
process.stdout.write(JSON.stringify(errors));
