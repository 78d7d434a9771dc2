import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** The names of the kernel's files, by the version of cgroups. */
const FILES = {
  1: { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", inactive: "total_inactive_file" },
  2: { limit: "memory.max", used: "memory.current", inactive: "inactive_file" },
} as const;

/** A hierarchy of control groups. Version 2 has one, version 1 has several, each with its controllers. */
interface Hierarchy {
  readonly version: keyof typeof FILES;
  /** The group below which the machines' groups are. */
  readonly base: string;
}

/** The memory of a machine, in bytes. */
export interface Memory {
  /** The memory in use, without files that the kernel can drop. */
  readonly used: number;
  readonly limit: number;
}

/**
 * Creates the control groups of a machine, one in each hierarchy: below this process's own groups with version 1, and
 * below the root with version 2, where a group with processes cannot have groups with controllers.
 * @param cloud - the name of the group of all machines
 * @returns the groups' folders
 */
export function createGroups(cloud: string, id: string, memoryMiB: number): string[] {
  return hierarchies().map(({ version, base }) => {
    const parent = join(base, cloud);
    const group = join(parent, id);
    mkdirSync(parent, { recursive: true });
    mkdirSync(group, { recursive: true });
    if (version === 2) for (const folder of [base, parent, group]) enableControllers(folder);
    for (const folder of [parent, group]) inheritCpus(folder);
    const limit = join(group, FILES[version].limit);
    if (existsSync(limit)) writeFileSync(limit, String(memoryMiB * 2 ** 20));
    // The machine has no swap.
    if (existsSync(join(group, "memory.swap.max"))) writeFileSync(join(group, "memory.swap.max"), "0");
    return group;
  });
}

/** Removes groups and all groups in them. Their processes are killed. */
export function removeGroups(groups: readonly string[]): void {
  for (const group of groups) {
    for (const folder of withDescendants(group)) kill(folder);
  }
  const deadline = Date.now() + 5000;
  for (const group of groups) {
    for (const folder of withDescendants(group)) {
      while (!isRemoved(folder)) {
        if (Date.now() > deadline) throw new Error(`${folder} still has processes`);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
    // The group of all machines, with the last machine.
    isRemoved(dirname(group));
  }
}

/** Whether this process can create groups that limit memory. */
export function hasMemoryGroups(): boolean {
  return hierarchies().some(({ version, base }) => {
    const file = version === 1 ? "memory.limit_in_bytes" : "cgroup.controllers";
    if (!existsSync(join(base, file)) || !isWritable(base)) return false;
    return version === 1 || read(base, file).split(/\s/).includes("memory");
  });
}

/** The memory of a machine. @param groups - the folders that {@link createGroups} returned */
export function memoryOf(groups: readonly string[]): Memory {
  for (const group of groups) {
    for (const { limit, used, inactive } of Object.values(FILES)) {
      if (!existsSync(join(group, limit))) continue;
      const [, dropped = 0] = new RegExp(`^${inactive} (\\d+)$`, "m").exec(read(group, "memory.stat")) ?? [];
      return { used: Number(read(group, used)) - Number(dropped), limit: Number(read(group, limit)) };
    }
  }
  throw new Error("the kernel has no control group for memory");
}

/** The hierarchies that are mounted, except those that only name groups of other programs. */
function hierarchies(): Hierarchy[] {
  if (!existsSync("/proc/self/cgroup")) return [];
  const own = new Map(
    read("/proc/self", "cgroup")
      .trim()
      .split("\n")
      .map((line) => line.split(":") as [string, string, string])
      .map(([, controllers, path]) => [controllers, path]),
  );
  const mounts = read("/proc/self", "mountinfo")
    .trim()
    .split("\n")
    .map((line) => line.split(" - ") as [string, string])
    .map(([before, after]) => ({ mount: before.split(" ")[4] as string, after: after.split(" ") }))
    .map(({ mount, after: [type, , options = ""] }) => ({ mount, type, options: options.split(",") }));
  const version1 = [...own]
    .filter(([controllers]) => controllers !== "")
    .flatMap(([controllers, path]) => {
      const found = mounts.find(
        ({ type, options }) => type === "cgroup" && controllers.split(",").every((name) => options.includes(name)),
      );
      return found ? [{ version: 1 as const, base: join(found.mount, path) }] : [];
    });
  const unified = mounts.find(({ type }) => type === "cgroup2");
  if (!unified) return version1;
  return [...version1, { version: 2, base: join(unified.mount, version1.length > 0 ? (own.get("") ?? "/") : "/") }];
}

function enableControllers(folder: string): void {
  for (const name of read(folder, "cgroup.controllers").trim().split(" ").filter(Boolean)) {
    writeFileSync(join(folder, "cgroup.subtree_control"), `+${name}`);
  }
}

/** Gives a new group of version 1's cpuset the processors of its parent. It has none at first. */
function inheritCpus(folder: string): void {
  for (const name of ["cpuset.cpus", "cpuset.mems"]) {
    if (!existsSync(join(folder, "cgroup.clone_children")) || !existsSync(join(folder, name))) continue;
    writeFileSync(join(folder, name), read(dirname(folder), name));
  }
}

/** The folder and those in it, the innermost first; empty if it does not exist. */
function withDescendants(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const children = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...children.flatMap(({ name }) => withDescendants(join(folder, name))), folder];
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function kill(group: string): void {
  for (const pid of read(group, "cgroup.procs").split("\n").filter(Boolean)) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended since the file was read.
    }
  }
}

/** Removes a group without processes. Whether it does not exist afterwards. */
function isRemoved(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

function read(folder: string, name: string): string {
  return readFileSync(join(folder, name), "utf8");
}
