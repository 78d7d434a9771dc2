/** The arguments of a block by their paths. A list of plain values is one value. */
export type Arguments = ReadonlyMap<string, unknown>;

/** The arguments of each resource and data source, as the configuration has them, by Terraform address. */
export type Configuration = ReadonlyMap<string, Arguments>;

/** The modules at the start of an address: `module.a["x"].module.b.` */
const MODULES = /^(?:module\.[\w-]+(?:\[(?:\d+|"(?:[^"\\]|\\.)*")\])?\.)+/;

/** The type of the resource at an address, in a module too. */
export function typeOf(address: string): string {
  return address.replace(MODULES, "").split(".")[0] as string;
}

/** The name of the resource at an address: without modules, type and index. */
export function nameOf(address: string): string {
  return (address.replace(MODULES, "").split(".")[1] ?? "").replace(/\[.*$/, "");
}

/** An address without the keys of `count` and `for_each`, as the configuration has it. */
export function withoutKeys(address: string): string {
  return address.replaceAll(/\[(?:\d+|"(?:[^"\\]|\\.)*")\]/g, "");
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The leaves of a value by their paths: plain values, lists of plain values, and empty objects. The path of a provisioner has
 * its destination or its place instead of an index, so that an additional provisioner does not change the paths of the others.
 */
export function flatten(value: unknown, path = ""): Map<string, unknown> {
  if (Array.isArray(value) && value.some((each) => typeof each === "object" && each !== null)) {
    const keys = value.map((each, index) => keyInList(each, index, value.length));
    return join(
      value.map((each, index) => {
        const key = keys[index] as string;
        return flatten(each, `${path}${keys.indexOf(key) === index ? key : `[${index}]`}`);
      }),
    );
  }
  if (!isObject(value) || (path !== "" && Object.keys(value).length === 0)) return new Map([[path, value]]);
  return join(
    Object.entries(value).map(([key, each]) => {
      // Two different values never have the same path.
      const name = /[.[\]()"]/.test(key) || key === "" ? JSON.stringify(key) : key;
      return flatten(each, path === "" ? name : `${path}.${name}`);
    }),
  );
}

function keyInList(each: unknown, index: number, length: number): string {
  if (isObject(each)) {
    if (isObject(each.file) && typeof each.file.destination === "string") return `(${each.file.destination})`;
    if (each["remote-exec"] !== undefined && index === 0) return "(first)";
    if (each["remote-exec"] !== undefined && index === length - 1) return "(last)";
  }
  return `[${index}]`;
}

function join(maps: readonly Map<string, unknown>[]): Map<string, unknown> {
  return new Map(maps.flatMap((map) => [...map]));
}

/** A leaf of a value before and after a change. */
export interface LeafChange {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** The leaves that a value has before or after a change, also those that are equal. */
export function leafChanges(path: string, before: unknown, after: unknown): LeafChange[] {
  const [one, other] = [flatten(before, path), flatten(after, path)];
  return [...new Set([...one.keys(), ...other.keys()])].map((leaf) => ({
    path: leaf,
    before: one.get(leaf),
    after: other.get(leaf),
  }));
}

/** A path without indexes and other keys of list elements: `root_block_device.volume_size`. */
export function withoutIndexes(path: string): string {
  return path.replaceAll(/\[\d+\]|\([^)]*\)/g, "");
}

/** A reference to an attribute. If the attribute is empty, it refers to the whole resource. */
export interface Reference {
  readonly address: string;
  readonly attribute: string;
}

const REFERENCE = /((?:data\.)?[a-z][a-z0-9]*_\w+\.[\w-]+)\.(\w+)/g;

/** The references in the templates of a value. */
export function references(value: unknown): Reference[] {
  const templates = JSON.stringify(value ?? "").match(/\$\{.*?\}/g) ?? [];
  return templates.flatMap((template) =>
    [...template.matchAll(REFERENCE)].map(([, address, attribute]) => ({ address, attribute }) as Reference),
  );
}

/** A function that computes the value for each object only once. */
export function once<K extends object, T>(compute: (object: K) => T): (object: K) => T {
  const known = new WeakMap<K, { readonly value: T }>();
  return (object) => {
    const found = known.get(object) ?? { value: compute(object) };
    known.set(object, found);
    return found.value;
  };
}
