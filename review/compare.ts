import { isDeepStrictEqual } from "node:util";
import { readDistributionScript } from "../model/distribution";
import {
  type Action,
  type ArgumentChange,
  type Changes,
  type CopyChange,
  type ResourceChange,
  typeOf,
} from "./changes";
import { CHANGED_BY_RESTART, type Effect, effectOf, hasDefaultTags, isKnown } from "./effects";

/** A synthesized document, as far as it is compared. */
export interface Document {
  readonly resource?: Readonly<Record<string, Readonly<Record<string, Block>>>>;
  readonly [section: string]: unknown;
}

type Block = Readonly<Record<string, unknown>>;
/** A resource's arguments by their paths; lists of plain values stay whole. */
type Arguments = ReadonlyMap<string, unknown>;

/** From the weakest to the strongest. */
const STRENGTH: readonly Effect[] = ["none", "update", "restart", "replace"];

/** Sections apart: cdktf's notes, resources, which are compared by themselves, outputs, each as one, and what is moved. */
const APART = ["//", "resource", "output", "moved"];

const DEFAULT_TAGS = /^provider\.aws\b.*\.default_tags\b/;

/** What a change outside of resources does. */
const NOTES: readonly (readonly [path: RegExp, note: string])[] = [
  [/^data\.aws_ami\./, "counts for machines that are made from now on"],
  [DEFAULT_TAGS, "the tags of all that has some, in place"],
  [/^terraform\.backend\./, "where the state lies"],
  [/^terraform\.required_/, "what Terraform installs"],
  [/^output\./, "for whoever reads it"],
  [/^provider\.\w+\[0\]\.region$/, "where all of it is"],
];

/** What is said of what the table does not know. */
const UNKNOWN = "unknown to this page: look at the plan";

/** Compares two synthesized documents by Terraform address, without a plan: what is changed, and what follows from it. */
export function compare(base: Document, after: Document): Changes {
  const moves = (after.moved ?? []) as readonly Move[];
  const before = moved(base, moves);
  const [old, fresh] = [resources(before), resources(after)];
  const both = [...fresh.keys()].filter((address) => old.has(address));
  const direct = new Map(
    both.map((address) => [address, argumentChanges(address, at(old, address), at(fresh, address))]),
  );
  const outside = elsewhere(before, after);
  const tagged = outside.some(({ path }) => DEFAULT_TAGS.test(path))
    ? both.filter((each) => hasDefaultTags(typeOf(each)))
    : [];
  const changed = propagate(fresh, direct, tagged);

  const movedFrom = (address: string) =>
    base.resource?.[typeOf(address)]?.[address.split(".")[1] as string] === undefined
      ? moves.find(({ to }) => to === address)?.from
      : undefined;
  const created = [...fresh.keys()].filter((address) => !old.has(address));
  const destroyed = [...old.keys()].filter((address) => !fresh.has(address));
  const renames = new Map(
    created.flatMap((address) => {
      const from = destroyed.find((gone) => isRename(gone, at(old, gone), address, at(fresh, address)));
      return from === undefined ? [] : [[address, from] as const];
    }),
  );
  const describe = (address: string, action: Action, because: readonly string[] = []): ResourceChange => ({
    address,
    action,
    ...(action === "create" && !isWhollyKnown(address, at(fresh, address)) && { unknown: true }),
    arguments: direct.get(address) ?? [],
    settings: Object.fromEntries(fresh.get(address) ?? at(old, address)),
    because,
    renamedFrom: renames.get(address),
    movedFrom: movedFrom(address),
  });
  const list = [
    ...destroyed.map((address) => describe(address, "destroy")),
    ...created.map((address) => describe(address, "create")),
    ...both.flatMap((address) => {
      const { action, because } = changed.get(address) as Outcome;
      const byItself = direct.get(address)?.length;
      if (action === "none" && !byItself && movedFrom(address) === undefined) return [];
      return [
        describe(address, action, because.length > 0 || byItself || action === "none" ? because : ["provider.aws"]),
      ];
    }),
  ];
  return {
    resources: list.sort((a, b) => (a.address < b.address ? -1 : 1)),
    copies: copyChanges(old, fresh),
    elsewhere: outside,
  };
}

/** Whether the table has all that a resource sets. */
function isWhollyKnown(address: string, block: Arguments): boolean {
  const type = typeOf(address);
  return (
    isKnown(type) && [...block.keys()].every((path) => effectOf(type, plain(path), undefined, undefined) !== undefined)
  );
}

interface Outcome {
  readonly action: Effect;
  readonly because: readonly string[];
}

/** What the changes of arguments lead to, through references: an attribute that becomes another changes who refers to it. */
function propagate(
  fresh: Resources,
  direct: ReadonlyMap<string, readonly ArgumentChange[]>,
  tagged: readonly string[],
): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>(
    [...direct].map(([address, changes]) => {
      const ofTags = tagged.includes(address);
      const effects = [
        ...changes.map(({ action }) => action as Effect),
        ofTags ? ("update" as const) : ("none" as const),
      ];
      return [address, { action: strongest(effects), because: [] }];
    }),
  );
  /** Whether what a reference stands for becomes another value. */
  const becomesAnother = ({ address, attribute }: Reference): boolean => {
    const action = outcomes.get(address)?.action;
    if (action === "restart") return CHANGED_BY_RESTART.includes(attribute);
    if (action !== "replace") return false;
    const value = at(fresh, address).get(attribute);
    // A literal stays what it is when its resource is replaced.
    return value === undefined || references(value).some(becomesAnother);
  };

  for (let again = true; again; ) {
    again = false;
    for (const [address, outcome] of outcomes) {
      const because = new Set<string>();
      const effects: Effect[] = [outcome.action];
      for (const [path, value] of at(fresh, address)) {
        const triggers = path === "lifecycle.replace_triggered_by";
        const causes = triggers ? triggersOf(value) : references(value);
        const hits = causes.filter((reference) =>
          reference.attribute === ""
            ? (outcomes.get(reference.address)?.action ?? "none") !== "none"
            : becomesAnother(reference),
        );
        if (hits.length === 0 || isIgnored(at(fresh, address), path)) continue;
        const effect = triggers
          ? "replace"
          : (effectOf(typeOf(address), plain(path), undefined, undefined) ?? "update");
        if (effect === "none") continue;
        effects.push(effect);
        for (const hit of hits) because.add(hit.address);
      }
      const action = strongest(effects);
      if (action === outcome.action && because.size === outcome.because.length) continue;
      outcomes.set(address, { action, because: [...because].sort() });
      again = true;
    }
  }
  return outcomes;
}

function argumentChanges(address: string, before: Arguments, after: Arguments): ArgumentChange[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  return paths.flatMap((path) => {
    const [old, fresh] = [before.get(path), after.get(path)];
    if (isDeepStrictEqual(old, fresh)) return [];
    const change = { path, before: old, after: fresh };
    if (isIgnored(after, path)) return [{ ...change, action: "none", note: "ignored on what exists" }];
    if (path === "lifecycle.ignore_changes") return [unguarded(address, change)];
    const effect = effectOf(typeOf(address), plain(path), old, fresh);
    if (effect === undefined) return [{ ...change, action: "update", note: UNKNOWN, unknown: true }];
    if (path === "early_renewal_hours" && Number(fresh ?? 0) > Number(old ?? 0)) {
      return [{ ...change, action: effect, note: "replaced by the first apply within so many hours of its end" }];
    }
    const later = effect === "none" && /^(connection|provisioner)/.test(path);
    return [{ ...change, action: effect, note: later ? "counts at the next copy" : undefined }];
  });
}

/** What follows from a change of what is ignored: what was ignored so far, and differs, counts from now on. */
function unguarded(address: string, change: Omit<ArgumentChange, "action">): ArgumentChange {
  const [old, fresh] = [change.before ?? [], change.after ?? []] as [readonly string[], readonly string[]];
  const released = old.filter((name) => !fresh.includes(name));
  const effects = released.map((name) => effectOf(typeOf(address), name, undefined, undefined) ?? "update");
  const action = strongest(effects);
  return { ...change, action, note: action === "none" ? undefined : `where ${released.join(" or ")} differs by now` };
}

/** What copies put onto machines that were and stay: their provisioners say the files, the last of them the modes. */
function copyChanges(old: Resources, fresh: Resources): CopyChange[] {
  const machine = (all: Resources, address: string) => references(at(all, address).get("connection.host"))[0]?.address;
  const stays = (address = "") => old.has(address) && fresh.has(address);
  const copies = [...new Set([...old.keys(), ...fresh.keys()])].filter((address) =>
    address.startsWith("null_resource."),
  );
  const addresses = copies.filter((address) => stays(machine(fresh, address) ?? machine(old, address)));
  return addresses.sort().flatMap((address) => {
    const [before, after] = [copiedFiles(at(old, address)), copiedFiles(at(fresh, address))];
    return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((file): CopyChange[] => {
      const [was, is] = [before.get(file), after.get(file)];
      if (was === undefined) return [{ address, file, change: "added" }];
      if (is === undefined) return [{ address, file, change: "removed" }];
      if (was.mode !== is.mode) return [{ address, file, change: "another mode" }];
      return was.content === is.content ? [] : [{ address, file, change: "another source" }];
    });
  });
}

/** The files of a distribution, by path: the bundle has a line for each row of the script. */
function copiedFiles(copy: Arguments): Map<string, { content: unknown; mode: string }> {
  const values = (end: string) => [...copy].filter(([path]) => path.endsWith(end)).map(([, value]) => value);
  const script = values("remote-exec.inline")
    .map((lines) => readDistributionScript(lines as unknown[]))
    .find((each) => each !== undefined);
  const bundle = values(".file.content").join("\n").split("\n");
  return new Map(script?.files.map(({ path, mode }, index) => [path, { content: bundle[index], mode }]));
}

function elsewhere(before: Document, after: Document): ArgumentChange[] {
  const flat = (document: Document) => {
    const rest = Object.entries(document).filter(([section]) => !APART.includes(section));
    const outputs = Object.entries((document.output ?? {}) as Record<string, { value: unknown; sensitive?: boolean }>);
    return new Map([
      ...flatten(Object.fromEntries(rest)),
      ...outputs.flatMap(([name, { value, sensitive = false }]) => [
        [`output.${name}`, value] as const,
        [`output.${name}.sensitive`, sensitive] as const,
      ]),
    ]);
  };
  const [old, fresh] = [flat(before), flat(after)];
  const paths = [...new Set([...old.keys(), ...fresh.keys()])].filter((path) => !path.includes("//"));
  return paths
    .filter((path) => !isDeepStrictEqual(old.get(path), fresh.get(path)))
    .map((path) => {
      const note = NOTES.find(([pattern]) => pattern.test(path))?.[1];
      const change = { path, before: old.get(path), after: fresh.get(path), action: "none" as const };
      return note === undefined ? { ...change, note: UNKNOWN, unknown: true as const } : { ...change, note };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

type Resources = ReadonlyMap<string, Arguments>;

/** A `moved` block. */
interface Move {
  readonly from: string;
  readonly to: string;
}

/** A document in which what is moved has its new addresses already, and so has what refers to it. */
function moved(document: Document, moves: readonly Move[]): Document {
  const applied = moves.filter(({ from }) => {
    const [type = "", name = ""] = from.split(".");
    return document.resource?.[type]?.[name] !== undefined;
  });
  if (applied.length === 0) return document;
  const text = applied.reduce(
    (known, { from, to }) => known.replaceAll(new RegExp(`\\b${from.replace(".", "\\.")}(?![\\w-])`, "g"), to),
    JSON.stringify(document),
  );
  const changed = JSON.parse(text);
  for (const { from, to } of applied) {
    const [[fromType = "", fromName = ""], [toType = "", toName = ""]] = [from.split("."), to.split(".")];
    const { [fromName]: block, ...others } = changed.resource[fromType];
    changed.resource[fromType] = others;
    changed.resource[toType] = { ...changed.resource[toType], [toName]: block };
  }
  return changed;
}

function resources(document: Document): Resources {
  return new Map(
    Object.entries(document.resource ?? {}).flatMap(([type, byName]) =>
      Object.entries(byName).map(([name, { "//": _notes, ...block }]) => [`${type}.${name}`, flatten(block)] as const),
    ),
  );
}

function at(all: Resources, address: string): Arguments {
  return all.get(address) ?? new Map();
}

/** A block's leaves by their paths. Provisioners stand under what they copy, so that one more moves no other. */
function flatten(value: unknown, path = ""): Map<string, unknown> {
  if (Array.isArray(value) && value.some(isObject)) {
    return join(value.map((each, index) => flatten(each, `${path}${keyInList(each, index)}`)));
  }
  if (!isObject(value)) return new Map([[path, value]]);
  return join(Object.entries(value).map(([key, each]) => flatten(each, path === "" ? key : `${path}.${key}`)));
}

function keyInList(each: unknown, index: number): string {
  const { file, "remote-exec": script } = each as { file?: { destination: string }; "remote-exec"?: object };
  if (file !== undefined) return `(${file.destination})`;
  return script === undefined ? `[${index}]` : `(${index === 0 ? "first" : "last"})`;
}

function join(maps: readonly Map<string, unknown>[]): Map<string, unknown> {
  return new Map(maps.flatMap((map) => [...map]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A reference to an attribute, or with an empty attribute to a whole resource. */
interface Reference {
  readonly address: string;
  readonly attribute: string;
}

const REFERENCE = /((?:data\.)?[a-z][a-z0-9]*_\w+\.[\w-]+)\.(\w+)/g;

/** The references in the templates of a value. */
function references(value: unknown): Reference[] {
  const templates = JSON.stringify(value ?? "").match(/\$\{.*?\}/g) ?? [];
  return templates.flatMap((template) =>
    [...template.matchAll(REFERENCE)].map(([, address, attribute]) => ({ address, attribute }) as Reference),
  );
}

function triggersOf(value: unknown): Reference[] {
  return (value as readonly string[]).map((trigger) => {
    const [type, name, attribute = ""] = trigger.split(".");
    return { address: `${type}.${name}`, attribute };
  });
}

function isIgnored(block: Arguments, path: string): boolean {
  const ignored = block.get("lifecycle.ignore_changes");
  return Array.isArray(ignored) && ignored.includes(plain(path).split(".")[0]);
}

/** Whether two resources differ in nothing but names: their own, and those that they refer to. */
function isRename(from: string, before: Arguments, to: string, after: Arguments): boolean {
  const nameless = (block: Arguments) =>
    JSON.stringify([...block]).replaceAll(/((?:aws|null|tls)_\w+)\.[\w-]+/g, "$1.*");
  return typeOf(from) === typeOf(to) && nameless(before) === nameless(after);
}

/** A path as the table has it, without what tells elements of a list apart. */
function plain(path: string): string {
  return path.replaceAll(/\[\d+\]|\(.*?\)/g, "");
}

function strongest(effects: readonly Effect[]): Effect {
  return STRENGTH[Math.max(0, ...effects.map((effect) => STRENGTH.indexOf(effect)))] as Effect;
}
