import { createInterface } from "node:readline";
import { createBalancer } from "./balancer";
import { openClientAddresses } from "./client-addresses";
import type { Report, Request } from "./config";

/**
 * The program of a load balancer: reads a {@link Request} per line from standard input, and writes a {@link Report} per line
 * to standard output. It runs in the load balancer's network namespace. Its arguments are the path of the
 * router's network namespace, and the name of the table with the translation to the clients' addresses.
 */
const [router, table] = process.argv.slice(2) as [string, string];

function report(line: Report): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const balancer = createBalancer({
  openClientAddresses: () => openClientAddresses(router, table),
  onHealth: (health) => report({ health }),
  log: (log) => report({ log }),
});

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { number, config }: Request = JSON.parse(line);
  await balancer.configure(config);
  report({ configured: number });
});
report({ ready: true });
