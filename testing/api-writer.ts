/**
 * `node --import tsx testing/api-writer.ts KUBECONFIG NAMESPACE` creates config maps, ten a second or more, until SIGTERM. Each
 * write has a connection of its own and a time-out. It prints a line in JSON for each write: see {@link Write}.
 */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { parse } from "yaml";

/** A write. */
export interface Write {
  /** The name of the config map. */
  readonly name: string;
  /** The begin and the end, in milliseconds since 1970. */
  readonly begin: number;
  readonly end: number;
  /** The reason of a failure. @default - the API has acknowledged the write */
  readonly error?: string;
}

/** The time between the begins of two writes, in milliseconds. */
const INTERVAL = 90;

/** The reason of a write that took longer than {@link TIME_OUT}. */
export const TIMED_OUT = "timed out";

/** The time-out of a write, connection included, in milliseconds. */
export const TIME_OUT = 2_000;

function main([kubeconfig, namespace]: readonly string[]): void {
  const { clusters, users } = parse(readFileSync(kubeconfig as string, "utf8"));
  const decode = (text: string) => Buffer.from(text, "base64");
  const [{ cluster }] = clusters;
  const [{ user }] = users;
  const options = {
    method: "POST",
    agent: false,
    ca: decode(cluster["certificate-authority-data"]),
    cert: decode(user["client-certificate-data"]),
    key: decode(user["client-key-data"]),
    headers: { "content-type": "application/json" },
  } as const;
  const url = `${cluster.server}/api/v1/namespaces/${namespace}/configmaps`;
  let index = 0;
  const timer = setInterval(() => {
    const name = `w${index++}`;
    const begin = Date.now();
    const report = (error?: string) => {
      console.log(JSON.stringify({ name, begin, end: Date.now(), error } satisfies Write));
    };
    const failed = ({ name, message }: Error) => report(name === "AbortError" ? TIMED_OUT : message);
    const call = request(url, { ...options, signal: AbortSignal.timeout(TIME_OUT) }, (response) => {
      response.resume();
      response.once("end", () => report(response.statusCode === 201 ? undefined : `status ${response.statusCode}`));
      response.once("error", failed);
    });
    call.once("error", failed);
    call.end(JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } }));
  }, INTERVAL);
  process.once("SIGTERM", () => clearInterval(timer));
}

if (require.main === module) main(process.argv.slice(2));
