import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import { inside } from "../namespace";
import { ENDS_WITH_PARENT } from "../program";

/** An address and a port. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** The translation of a load balancer's connections: targets see the client's address and port instead of its own. */
export interface ClientAddresses {
  /** Translates the load balancer's endpoint to the client's. Resolves when the translation is in effect. */
  add(own: Endpoint, client: Endpoint): Promise<void>;
  /** Removes a translation, before any later one is added. */
  remove(own: Endpoint): void;
}

interface Addition {
  /** The key of the element, as nft prints it. */
  readonly key: string;
  readonly element: string;
  readonly done: (error?: Error) => void;
}

/**
 * Makes the router forget ended connections after a second, not two minutes. Until then, it drops the packets of another
 * connection to the same target with the same client's address and port, as after a connection without the load balancer.
 */
const FORGET_ENDED = `
  cd /proc/sys/net/netfilter
  for state in close time_wait; do echo 1 > nf_conntrack_tcp_timeout_$state; done
`;

/** The greatest number of elements in one command. */
const BATCH = 100;

/**
 * The name of the table with a load balancer's translation.
 * @param namespace - the path of the load balancer's network namespace
 */
export function tableOf(namespace: string): string {
  return `lb-${statSync(namespace).ino}`;
}

/**
 * Opens the translation in a router, in a table of its own.
 * @param router - the path of the router's network namespace
 * @param name - the name of the table. An existing one is replaced.
 */
export function openClientAddresses(router: string, name: string): ClientAddresses {
  const table = `ip ${name}`;
  const [nsenter, ...inRouter] = inside(router) as [string, ...string[]];
  execFileSync(nsenter, [...inRouter, "nft", "-f", "-"], { input: ruleset(table) });
  execFileSync(nsenter, [...inRouter, "sh", "-ec", FORGET_ENDED]);

  // One program for all changes: a change takes it less than a millisecond, but its start 15. --echo confirms each change.
  const nft = startNft(router);
  const queue: Addition[] = [];
  let current: Addition[] = [];

  function next(): void {
    if (current.length > 0 || queue.length === 0) return;
    current = queue.splice(0, BATCH);
    nft.stdin.write(`add element ${table} clients { ${current.map(({ element }) => element).join(", ")} }\n`);
  }

  function finish(error?: Error): void {
    for (const { done } of current) done(error);
    current = [];
    next();
  }

  // It prints each added element, and nothing for a deleted one. An error comes with the command.
  createInterface({ input: nft.stdout }).on("line", (line) => {
    const last = current.at(-1);
    if (last && line.startsWith("add element") && line.includes(`{ ${last.key} :`)) finish();
  });
  createInterface({ input: nft.stderr }).on("line", (line) => {
    if (line.startsWith("add element")) finish(new Error(`nft refuses: ${line}`));
  });

  return {
    add: (own, client) =>
      new Promise((resolve, reject) => {
        const done = (error?: Error) => (error ? reject(error) : resolve());
        queue.push({ key: text(own), element: `${text(own)} : ${text(client)}`, done });
        next();
      }),
    remove(own) {
      nft.stdin.write(`delete element ${table} clients { ${text(own)} }\n`);
    },
  };
}

/** Removes the translation of an ended load balancer, if there is one, and if the router exists. */
export function removeClientAddresses(router: string, name: string): void {
  // The first line creates the table if there is none, so that the second does not fail.
  const input = `table ip ${name}\ndelete table ip ${name}\n`;
  const [nsenter, ...inRouter] = inside(router) as [string, ...string[]];
  spawnSync(nsenter, [...inRouter, "nft", "-f", "-"], { input });
}

function ruleset(table: string): string {
  return `
    table ${table}
    delete table ${table}
    table ${table} {
      map clients { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
      chain clients {
        type nat hook postrouting priority srcnat - 10;
        snat ip to ip saddr . tcp sport map @clients
      }
    }
  `;
}

function text({ address, port }: Endpoint): string {
  return `${address} . ${port}`;
}

function startNft(router: string): ChildProcessWithoutNullStreams {
  const program = ["nft", "--interactive", "--echo"];
  const [command, ...args] = [...ENDS_WITH_PARENT, ...inside(router), ...program] as [string, ...string[]];
  // Without a home folder, it writes no history.
  const nft = spawn(command, args, { env: { ...process.env, HOME: "/nonexistent" } });
  nft.stderr.pipe(process.stderr);
  nft.on("close", (status) => {
    throw new Error(`nft ended (${status})`);
  });
  return nft;
}
