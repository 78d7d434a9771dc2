import { createServer } from "node:http";
import type { Memory } from "./machine/cgroups";
import type { RunningMachine } from "./reconciler";
import { requestJson } from "./state";

/** The facts of a running machine that only the cloud's own program knows. */
export interface MachineFacts {
  /** The instance's id. */
  readonly id: string;
  readonly memory: Memory;
  /** A command prefix that starts a program on the machine, as root. */
  readonly command: readonly string[];
}

/** Answers {@link readMachines} at a socket file. It does not keep this program running. */
export async function serveMachines(socket: string, running: () => readonly RunningMachine[]): Promise<void> {
  const server = createServer((_, response) => {
    const facts = running().flatMap(({ id, machine }): MachineFacts[] => {
      try {
        return [{ id, memory: machine.memory(), command: machine.run([]) }];
      } catch {
        // It ends or reboots at this moment.
        return [];
      }
    });
    response.end(JSON.stringify(facts));
  });
  await new Promise<void>((resolve) => {
    server.listen(socket, resolve);
  });
  server.unref();
}

/** Asks a cloud's program for the facts of its running machines. */
export function readMachines(socketPath: string): Promise<MachineFacts[]> {
  return requestJson({ socketPath, agent: false });
}
