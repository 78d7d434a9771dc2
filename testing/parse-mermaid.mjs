// Reads a JSON list of diagrams from stdin and writes, for each, what Mermaid's own parser says against it, or null. A
// program of its own, since Mermaid is an ES module that wants a browser's document.
import { text } from "node:stream/consumers";
import { JSDOM } from "jsdom";

const { window } = new JSDOM();
Object.assign(globalThis, { window, document: window.document });
const { default: mermaid } = await import("mermaid");

const faults = [];
for (const diagram of JSON.parse(await text(process.stdin))) {
  faults.push(
    await mermaid.parse(diagram).then(
      () => null,
      (error) => error.message,
    ),
  );
}
process.stdout.write(JSON.stringify(faults));
