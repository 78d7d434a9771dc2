import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { text } from "node:stream/consumers";
import { ENDS_WITH_PARENT } from "./program";

/** The settings of a router: it forwards everything, answers ARP for every address, and checks no sources by itself. */
const ROUTER_SCRIPT = `
echo 1 > /proc/sys/net/ipv4/ip_forward
# The services listen before the router has their addresses.
echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind
for name in all default; do
  echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter
  echo 0 > /proc/sys/net/ipv4/conf/$name/send_redirects
  echo 0 > /proc/sys/net/ipv4/conf/$name/accept_redirects
  [ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/$name/disable_ipv6
done
`;

/**
 * A network namespace without a name. A process holds it, and it disappears with this process, also if the project's
 * program is killed.
 */
export class Namespace {
  private constructor(private readonly holder: ChildProcess) {}

  /** Creates a namespace, in which only lo is up. */
  static async create(): Promise<Namespace> {
    const script = "ip link set lo up; echo ready; exec sleep infinity";
    const [setpriv, ...args] = [...ENDS_WITH_PARENT, "unshare", "--net", "sh", "-ec", script];
    const holder = spawn(setpriv as string, args, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(holder, "exit").then(([status]) => {
      throw new Error(`a network namespace cannot be created: unshare --net ends with status ${status}`);
    });
    await Promise.race([once(holder.stdout as NonNullable<typeof holder.stdout>, "data"), ended]);
    ended.catch(() => {});
    return new Namespace(holder);
  }

  /** Creates the namespace of a router. */
  static async createRouter(): Promise<Namespace> {
    const namespace = await Namespace.create();
    await run(["sh", "-ec", ROUTER_SCRIPT], { namespace: namespace.path });
    return namespace;
  }

  /** The namespace's path. `nsenter --net=PATH` starts a program in it. */
  get path(): string {
    return `/proc/${this.holder.pid}/ns/net`;
  }

  /** Ends the namespace, unless other programs run in it. */
  async close(): Promise<void> {
    if (this.holder.exitCode !== null || this.holder.signalCode !== null) return;
    const ended = once(this.holder, "exit");
    this.holder.kill("SIGKILL");
    await ended;
  }
}

/** A command prefix that starts a program in a network namespace. */
export function inside(namespace: string): string[] {
  return ["nsenter", `--net=${namespace}`, "--"];
}

/**
 * Runs a program to its end.
 * @param options.namespace - the path of the network namespace @default - this process's
 * @param options.input - the text on standard input @default - none
 * @throws Error with the program's error output if its exit status is not 0
 */
export async function run(
  command: readonly string[],
  { namespace, input = "" }: { readonly namespace?: string; readonly input?: string } = {},
): Promise<void> {
  const prefix = namespace === undefined ? [] : inside(namespace);
  const [program, ...args] = [...ENDS_WITH_PARENT, ...prefix, ...command] as [string, ...string[]];
  const child = spawn(program, args, { stdio: ["pipe", "ignore", "pipe"] });
  // A program that ends early does not read all of it. Its exit status is the error.
  child.stdin.on("error", () => {}).end(input);
  const [errors, [status]] = await Promise.all([text(child.stderr), once(child, "close")]);
  if (status !== 0) throw new Error(`${command.join(" ")}: ${errors.trim()}`);
}

/**
 * Runs lines of `ip`'s commands.
 * @param namespace - the path of the network namespace; undefined: this process's
 * @param options.force - whether the other lines run after one that failed @default false
 * @throws Error if a line failed
 */
export async function ip(
  namespace: string | undefined,
  lines: readonly string[],
  { force = false }: { readonly force?: boolean } = {},
): Promise<void> {
  if (lines.length === 0) return;
  await run(["ip", ...(force ? ["-force"] : []), "-batch", "-"], { namespace, input: `${lines.join("\n")}\n` });
}

/** Kills every process in a network namespace, unless it is this process's. @param namespace - its path */
export function killProcesses(namespace: string): void {
  for (const pid of processesIn(namespaceAt(namespace))) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended since the list was made, perhaps together with another process of the list.
    }
  }
}

/**
 * The ids, on this machine, of the processes in network namespaces. Empty for the namespace of this process, which other
 * programs share.
 * @param names - the results of {@link namespaceAt}
 */
export function processesIn(...names: readonly (string | undefined)[]): number[] {
  const wanted = names.filter((name) => name !== undefined && name !== namespaceAt("/proc/self/ns/net"));
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => wanted.includes(namespaceAt(`/proc/${pid}/ns/net`)));
}

/** The name of the namespace at a path, `net:[4026531840]`; undefined if its process has ended. */
export function namespaceAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
