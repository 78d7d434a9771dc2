/**
 * The services of a VPC, a program that runs in the network namespace of its router: the resolver and the metadata service.
 * Each line on standard input is a {@link ServicesState} in JSON; for each line it prints `applied` when it has the state.
 * It ends when standard input ends.
 */
import { createInterface } from "node:readline";
import { METADATA_ADDRESS } from "./addresses";
import { listen as listenMetadata, type MetadataMachine } from "./metadata";
import { listen as listenResolver, namesOf } from "./resolver";

/** The state of the services. */
export interface ServicesState {
  /** The addresses of the resolver. */
  readonly resolvers: readonly string[];
  /** The names that the resolver knows. @default - it does not answer */
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly machines: readonly MetadataMachine[];
}

async function main(): Promise<void> {
  let names: ReturnType<typeof namesOf> | undefined;
  let machines = new Map<string, MetadataMachine>();
  const listening = new Set<string>();
  const once = async (address: string, listen: () => Promise<unknown>) => {
    if (listening.has(address)) return;
    listening.add(address);
    await listen();
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const state: ServicesState = JSON.parse(line);
    names = state.names && namesOf(state.names);
    machines = new Map(state.machines.map((machine) => [machine.privateIp, machine]));
    await once(METADATA_ADDRESS, () => listenMetadata(METADATA_ADDRESS, (ip) => machines.get(ip)));
    for (const address of state.resolvers) await once(address, () => listenResolver(address, () => names));
    process.stdout.write("applied\n");
  }
  process.exit(0);
}

void main();
