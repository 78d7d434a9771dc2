import type { AddressInfo } from "node:net";
import { createMirror } from "./server";

/** The program of a mirror. It runs in the network namespace of its address. */
const [folder, cache, address, port] = process.argv.slice(2) as [string, string, string, string];

const server = createMirror({ folder, cache, log: (line) => process.stdout.write(`${line}\n`) });
server.listen(Number(port), address, () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`);
});
