import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** A command prefix. The program ends when its parent process ends, even by a crash, so no process is left. */
export const ENDS_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

/** A command prefix. The program gets a separate process namespace, so that all processes that it starts end with it. */
export const OWN_PROCESSES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];

/** The end of a program. */
export interface Ended {
  /** The exit status; null if a signal ended the program. */
  readonly status: number | null;
  /** The text of standard output and standard error, in one. */
  readonly output: string;
}

/** A running program. */
export interface Running {
  readonly process: ChildProcess;
  /** The output until now: standard output and standard error, in one. */
  readonly output: () => string;
  /** The program's end. */
  readonly ended: Promise<Ended>;
}

/** The options of {@link start}. */
export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Receives the output piece by piece. */
  readonly onOutput?: (text: string) => void;
  /** Whether the program gets a terminal. Text written to its standard input then acts as keys. @default false: no input */
  readonly terminal?: boolean;
}

const IN_TERMINAL = [
  "python3",
  "-c",
  "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
];

/** Starts a program, and collects its output. */
export function start(command: readonly string[], { onOutput, terminal, ...options }: StartOptions = {}): Running {
  const [program, ...args] = [...(terminal ? IN_TERMINAL : []), ...command] as [string, ...string[]];
  const child = spawn(program, args, { ...options, stdio: [terminal ? "pipe" : "ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr] as Readable[]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      onOutput?.(text);
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
  return { process: child, output: () => output, ended };
}

/** Sends a signal to a program that was started through {@link OWN_PROCESSES}. */
export function signalInside(program: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(firstProcess(program), signal);
}

/**
 * The process id, on this machine, of the first process in the namespace that {@link OWN_PROCESSES} created.
 * @throws Error if it has ended. Otherwise a signal could go to process 0, which means the sender's own process group.
 */
export function firstProcess({ pid }: ChildProcess): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  const first = Number.parseInt(children, 10);
  if (!(first > 1)) throw new Error(`process ${pid} has ended`);
  return first;
}

/**
 * Waits until a condition is true. It checks the condition every 2 ms.
 * @param happened - the condition
 * @param waiting.what - describes the condition, for the error
 * @param waiting.process - the program on which the condition depends @default - none
 * @param waiting.seconds - the limit @default 20
 * @throws Error if the time is over or the program has ended
 */
export async function until(
  happened: () => boolean,
  waiting: { what: () => string; process?: ChildProcess; seconds?: number },
): Promise<void> {
  const deadline = Date.now() + (waiting.seconds ?? 20) * 1000;
  while (!happened()) {
    const ended = waiting.process?.exitCode ?? null;
    if (ended !== null || Date.now() > deadline) throw new Error(`did not happen: ${waiting.what()}`);
    await sleep(2);
  }
}
