import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable, type Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { sshKeyPath } from "../model/layout";
import { NODE_USER } from "../model/names";
import { cut, ERROR_LENGTH } from "./terraform";

/** A machine, and the folder with the key that logs in to it. */
export interface Login {
  /** The credentials folder. */
  readonly folder: string;
  /** The cluster's name. */
  readonly cluster: string;
  /** The machine's public address. */
  readonly address: string;
}

/** Options of {@link overSsh}. */
export interface SshOptions {
  /** The text or the file that the command reads. @default - nothing */
  readonly input?: string | Readable;
  /** The time limit, in milliseconds. @default - none */
  readonly timeLimit?: number;
  /** The maximum size of the returned output, in MiB. @default 4 */
  readonly outputLimit?: number;
  /** Receives each line of output as soon as it is printed. The output is then not returned. */
  readonly onLine?: (line: string) => void;
  /**
   * Receives each line of errors as soon as it is printed. If the command fails, the last one is in the {@link SshError}
   * instead.
   */
  readonly onError?: (line: string) => void;
  /** Receives the output, which is then not returned. It is ended. */
  readonly into?: Writable;
}

/**
 * The kind of a failure: the machine cannot be reached or does not answer; it answers, but ssh does not log in; or the command
 * has failed.
 */
export type SshFailure = "silent" | "refused" | "failed";

/** A command on a machine that did not succeed. The message has one line, without the machine's name or address. */
export class SshError extends Error {
  constructor(
    readonly failure: SshFailure,
    message: string,
  ) {
    super(message);
  }
}

/** The exit status of ssh after an error of its own. */
const SSH_STATUS = 255;

/** ssh's messages about a login that is refused, by itself or by the machine. */
const REFUSED = /host key verification failed|permission denied|too many authentication failures/i;

/**
 * Runs a command on a machine, as the user of the machine's image. The machine's host key is accepted at the first login and
 * stored in the folder's `ssh/known_hosts`.
 * @returns the command's output
 * @throws SshError if the machine does not answer, if the login is refused, or if the command fails or exceeds a limit
 */
export async function overSsh(login: Login, command: string, options: SshOptions = {}): Promise<string> {
  const { input = "", timeLimit, outputLimit = 4, onLine, onError, into } = options;
  const { folder, cluster, address } = login;
  const child = spawn("ssh", [...sshOptions(folder, cluster), `${NODE_USER}@${address}`, command], {
    timeout: timeLimit,
    killSignal: "SIGKILL",
  });
  let isTooLong = false;
  const tooLong = () => {
    isTooLong = true;
    child.kill("SIGKILL");
  };
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  // The command may end before it has read its input, and its status is then what counts.
  const written = pipeline(typeof input === "string" ? Readable.from([input]) : input, child.stdin).catch(() => {});
  const errors = lastLine(child.stderr, onError);
  const output =
    into !== undefined
      ? pipeline(child.stdout, into).then(() => "")
      : onLine !== undefined
        ? eachLine(child.stdout, onLine).then(() => "")
        : text(child.stdout, outputLimit, tooLong);
  let status: number | null;
  let printed: string;
  let last: string;
  try {
    [status, printed, last] = await Promise.all([ended, output, errors, written]);
  } catch (error) {
    // ssh is missing, or a file cannot be written.
    child.kill("SIGKILL");
    throw new SshError("failed", (error as Error).message);
  }
  if (isTooLong) throw new SshError("failed", `it printed more than ${outputLimit} MiB`);
  if (child.killed) throw new SshError("silent", `it did not answer within ${(timeLimit ?? 0) / 1000} seconds`);
  if (status === 0) {
    if (last !== "") onError?.(last);
    return printed;
  }
  const message = cut(last || `status ${status}`, ERROR_LENGTH);
  if (status !== SSH_STATUS) throw new SshError("failed", message);
  throw new SshError(REFUSED.test(message) ? "refused" : "silent", `${message}${hostKeyHint(message, login)}`);
}

/** A hint for a machine whose host key is another one than before. */
function hostKeyHint(message: string, { address, folder }: Login): string {
  return /host key verification failed/i.test(message)
    ? ` (if the machine was replaced, run: ssh-keygen -R ${address} -f '${join(folder, "ssh/known_hosts")}')`
    : "";
}

async function eachLine(stream: Readable, onLine: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) onLine(line);
}

/** Passes on each line that is not empty, but for the last one. @returns that one, or an empty text */
async function lastLine(stream: Readable, onLine: SshOptions["onError"]): Promise<string> {
  let last = "";
  await eachLine(stream, (line) => {
    if (line.trim() === "") return;
    if (last !== "") onLine?.(last);
    last = line.trim();
  });
  return last;
}

/** The text of a stream. @param tooLong - called if it is longer than so many MiB */
async function text(stream: Readable, limit: number, tooLong: () => void): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  stream.on("data", (piece: Buffer) => {
    length += piece.length;
    if (length > limit * 2 ** 20) tooLong();
    else pieces.push(piece);
  });
  await finished(stream, { writable: false });
  return Buffer.concat(pieces).toString();
}

function sshOptions(folder: string, cluster: string): string[] {
  // ssh reads these options as lists of files and replaces sequences such as %h.
  const quoted = (path: string) => `"${join(folder, path).replaceAll("%", "%%")}"`;
  return [
    ...["-o", `IdentityFile=${quoted(sshKeyPath(cluster))}`],
    ...["-o", `UserKnownHostsFile=${quoted("ssh/known_hosts")}`],
    ...["-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
    ...["-o", "IdentityAgent=none", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"],
    // Ends a connection to a machine that no longer answers.
    ...["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"],
  ];
}
