import { isDeepStrictEqual } from "node:util";
import {
  type Arguments,
  type Configuration,
  flatten,
  isObject,
  type Reference,
  references,
  typeOf,
  withoutIndexes,
} from "./arguments";
import { type Action, type ArgumentChange, type Changes, NAME_TAG, type ResourceChange } from "./changes";
import { copyChanges } from "./copies";
import { CHANGED_BY_RESTART, type Effect, effectOf, hasDefaultTags, isFullyKnown, isKept, refusalOf } from "./effects";

/** The compared part of a synthesized document. */
export interface Document {
  readonly resource?: Readonly<Record<string, Readonly<Record<string, Block>>>>;
  readonly [section: string]: unknown;
}

type Block = Readonly<Record<string, unknown>>;

/** The effects, from the weakest to the strongest. */
const STRENGTH: readonly Effect[] = ["none", "update", "restart", "replace"];

/** Sections that the general comparison omits: cdktf's notes, and blocks that are compared one by one. */
const HANDLED_SEPARATELY = ["//", "resource", "data", "output"];

/** The place of the state. */
const BACKEND = /^terraform\.backend\./;

const DEFAULT_TAGS = /^provider\.aws\b.*\.default_tags\b/;

/** The effect of a change outside of resources. */
const NOTES: readonly (readonly [path: RegExp, note: string])[] = [
  [/^provider\.\w+\[0\]\.region$/, "the region of every resource"],
  [/^data\.aws_ami\./, "applies only to machines that are created later"],
  [
    DEFAULT_TAGS,
    "changes the tags of every resource that has its own, in place; disks and network interfaces keep theirs",
  ],
  [BACKEND, "the location of the state"],
  [/^terraform\.required_/, "the versions of Terraform and its providers"],
  [/^output\./, "affects only readers of the output"],
  [/^provider\./, "the configuration of a provider"],
  [/^(moved|removed)\b/, "applies only to a resource that the state has at the old address"],
];

/** The note for an argument that the table of effects does not know. */
export const UNKNOWN = "unknown to this page: read the plan";

/** The note for an argument that is removed, and whose value stays. */
const KEPT = "no longer set: the existing value stays";

/**
 * Compares two synthesized documents by Terraform address, without a plan. With another name and another place for the state,
 * the document is a second cluster, so all its resources are created.
 * @returns the changes and their consequences
 */
export function compare(base: Document, changed: Document): Changes {
  const moves = (changed.moved ?? []) as readonly Move[];
  const moved = applyMoves(base, moves);
  const outside = elsewhere(moved, changed);
  const hasChanged = (pattern: RegExp) =>
    outside.some(({ path, before }) => pattern.test(path) && before !== undefined);
  const isSecondCluster = hasChanged(NAME_TAG) && hasChanged(BACKEND);
  const [before, after] = [isSecondCluster ? new Map() : resources(moved), resources(changed)];
  const both = [...after.keys()].filter((address) => before.has(address));
  const direct = new Map(
    both.map((address) => [
      address,
      argumentChanges(address, argumentsOf(before, address), argumentsOf(after, address)),
    ]),
  );
  const tagged = outside.some(({ path }) => DEFAULT_TAGS.test(path))
    ? both.filter((each) => hasDefaultTags(typeOf(each)))
    : [];
  const outcomes = propagate(after, direct, tagged);

  const movedFrom = (address: string) =>
    base.resource?.[typeOf(address)]?.[address.split(".")[1] as string] === undefined
      ? moves.find(({ to }) => to === address)?.from
      : undefined;
  const created = [...after.keys()].filter((address) => !before.has(address));
  const destroyed = [...before.keys()].filter((address) => !after.has(address));
  const renames = new Map(
    created.flatMap((address) => {
      const from = destroyed.find((candidate) =>
        isRename(candidate, argumentsOf(before, candidate), address, argumentsOf(after, address)),
      );
      return from === undefined ? [] : [[address, from] as const];
    }),
  );
  const forgotten = forgottenBy(changed);
  const describe = (address: string, action: Action, because: readonly string[] = []): ResourceChange => ({
    address,
    type: typeOf(address),
    action,
    ...(action === "create" && !isFullyKnown(typeOf(address), argumentsOf(after, address).keys()) && { unknown: true }),
    arguments: direct.get(address) ?? [],
    settings: Object.fromEntries(after.get(address) ?? argumentsOf(before, address)),
    because,
    renamedFrom: renames.get(address),
    movedFrom: movedFrom(address),
  });
  const list = [
    ...destroyed.map((address) => describe(address, forgotten.has(address) ? "forget" : "destroy")),
    ...created.map((address) => describe(address, "create")),
    ...both.flatMap((address) => {
      const { action, because } = outcomes.get(address) as Outcome;
      const hasOwnChanges = direct.get(address)?.length;
      if (action === "none" && !hasOwnChanges && movedFrom(address) === undefined) return [];
      return [
        describe(
          address,
          action,
          because.length > 0 || hasOwnChanges || action === "none" ? because : ["provider.aws"],
        ),
      ];
    }),
  ];
  return {
    resources: list.sort((a, b) => (a.address < b.address ? -1 : 1)),
    copies: copyChanges(before, after),
    elsewhere: outside,
    isSecondCluster,
    before: configuration(moved),
    after: configuration(changed),
  };
}

/** The addresses of resources that `removed` blocks remove from the state without destroying them. */
function forgottenBy({ removed = [] }: Document): Set<string> {
  const blocks = (Array.isArray(removed) ? removed : [removed]).filter(isObject);
  return new Set(
    blocks.flatMap(({ from, lifecycle }) => {
      const settings = (Array.isArray(lifecycle) ? lifecycle : [lifecycle]).filter(isObject);
      return typeof from === "string" && settings.some(({ destroy }) => destroy === false) ? [from] : [];
    }),
  );
}

interface Outcome {
  readonly action: Effect;
  readonly because: readonly string[];
}

/** The effects of changed arguments on every resource: a changed attribute changes each resource that refers to it. */
function propagate(
  after: Resources,
  direct: ReadonlyMap<string, readonly ArgumentChange[]>,
  tagged: readonly string[],
): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>(
    [...direct].map(([address, changes]) => {
      const tagsChange = tagged.includes(address);
      const effects = [
        ...changes.map(({ action }) => action as Effect),
        tagsChange ? ("update" as const) : ("none" as const),
      ];
      return [address, { action: strongest(effects), because: [] }];
    }),
  );
  /** Whether the value of a reference changes. */
  const valueChanges = ({ address, attribute }: Reference): boolean => {
    const action = outcomes.get(address)?.action;
    if (action === "restart") return CHANGED_BY_RESTART.includes(attribute);
    if (action !== "replace") return false;
    const value = argumentsOf(after, address).get(attribute);
    // A literal stays the same when its resource is replaced.
    return value === undefined || references(value).some(valueChanges);
  };

  for (let isUnfinished = true; isUnfinished; ) {
    isUnfinished = false;
    for (const [address, outcome] of outcomes) {
      const because = new Set<string>();
      const effects: Effect[] = [outcome.action];
      for (const [path, value] of argumentsOf(after, address)) {
        const triggers = path === "lifecycle.replace_triggered_by";
        const causes = triggers ? triggersOf(value) : references(value);
        const hits = causes.filter((reference) =>
          reference.attribute === ""
            ? (outcomes.get(reference.address)?.action ?? "none") !== "none"
            : valueChanges(reference),
        );
        if (hits.length === 0 || isIgnored(argumentsOf(after, address), path)) continue;
        const effect = triggers
          ? "replace"
          : (effectOf(typeOf(address), withoutIndexes(path), undefined, undefined) ?? "update");
        if (effect === "none") continue;
        effects.push(effect);
        for (const hit of hits) because.add(hit.address);
      }
      const action = strongest(effects);
      if (action === outcome.action && because.size === outcome.because.length) continue;
      outcomes.set(address, { action, because: [...because].sort() });
      isUnfinished = true;
    }
  }
  return outcomes;
}

function argumentChanges(address: string, before: Arguments, after: Arguments): ArgumentChange[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  return paths.flatMap((path) => {
    const change = { path, before: before.get(path), after: after.get(path) };
    if (isDeepStrictEqual(change.before, change.after)) return [];
    if (isIgnored(after, path)) return [{ ...change, action: "none", note: "ignored for existing resources" }];
    if (path === "lifecycle.ignore_changes") return [ignoreListChange(address, change)];
    const effect = effectOf(typeOf(address), withoutIndexes(path), change.before, change.after);
    if (effect === undefined) return [{ ...change, action: "update", note: UNKNOWN, unknown: true }];
    if (change.after === undefined && isKept(typeOf(address), withoutIndexes(path))) {
      return [{ ...change, action: "none", note: KEPT }];
    }
    const refusal = refusalOf(typeOf(address), withoutIndexes(path), change.before, change.after);
    if (refusal !== undefined) return [{ ...change, action: effect, note: refusal, refused: true }];
    if (path === "early_renewal_hours" && Number(change.after ?? 0) > Number(change.before ?? 0)) {
      return [{ ...change, action: effect, note: "the first apply within this many hours of its expiry replaces it" }];
    }
    const isLater = effect === "none" && /^(connection|provisioner)/.test(path);
    return [{ ...change, action: effect, note: isLater ? "used at the next copy" : undefined }];
  });
}

/** The effect of a change of `ignore_changes`: an argument that is no longer ignored takes effect if it differs. */
function ignoreListChange(address: string, change: Omit<ArgumentChange, "action">): ArgumentChange {
  const [before, after] = [change.before ?? [], change.after ?? []] as [readonly string[], readonly string[]];
  const released = before.filter((name) => !after.includes(name));
  const effects = released.map((name) => effectOf(typeOf(address), name, undefined, undefined) ?? "update");
  const action = strongest(effects);
  return {
    ...change,
    action,
    note: action === "none" ? undefined : `if ${released.join(" or ")} differs from the existing resource`,
  };
}

/** The changes outside of resources. */
function elsewhere(documentBefore: Document, documentAfter: Document): ArgumentChange[] {
  const flat = (document: Document) => {
    const rest = Object.entries(document).filter(([section]) => !HANDLED_SEPARATELY.includes(section));
    const outputs = Object.entries((document.output ?? {}) as Record<string, { value: unknown; sensitive?: boolean }>);
    return new Map([
      ...flatten(Object.fromEntries(rest)),
      ...[...blocks(document.data)].flatMap(([address, block]) => [...flatten(block, `data.${address}`)]),
      ...outputs.flatMap(([name, { value, sensitive = false, ...others }]) => [
        [`output.${name}`, value] as const,
        ...flatten({ sensitive, ...others }, `output.${name}`),
      ]),
    ]);
  };
  const [before, after] = [flat(documentBefore), flat(documentAfter)];
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  return paths
    .filter((path) => !isDeepStrictEqual(before.get(path), after.get(path)))
    .map((path) => {
      const note = NOTES.find(([pattern]) => pattern.test(path))?.[1];
      const change = { path, before: before.get(path), after: after.get(path), action: "none" as const };
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

/** Applies `moved` blocks to a document: moved resources get their new addresses, and so do the references to them. */
function applyMoves(document: Document, moves: readonly Move[]): Document {
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

/** The blocks of a section by address, without cdktf's notes. */
function blocks(section: unknown): Map<string, Block> {
  return new Map(
    Object.entries((section ?? {}) as Record<string, Record<string, Block>>).flatMap(([type, byName]) =>
      Object.entries(byName).map(([name, { "//": _notes, ...block }]) => [`${type}.${name}`, block] as const),
    ),
  );
}

function resources(document: Document): Resources {
  return new Map([...blocks(document.resource)].map(([address, block]) => [address, flatten(block)]));
}

/** The resources and data sources of a document. */
function configuration(document: Document): Configuration {
  const data = [...blocks(document.data)].map(([address, block]) => [`data.${address}`, flatten(block)] as const);
  return new Map([...resources(document), ...data]);
}

/** The arguments of the resource at an address; empty if there is none. */
function argumentsOf(all: Resources, address: string): Arguments {
  return all.get(address) ?? new Map();
}

function triggersOf(value: unknown): Reference[] {
  return (value as readonly string[]).map((trigger) => {
    const [type, name, attribute = ""] = trigger.split(".");
    return { address: `${type}.${name}`, attribute };
  });
}

function isIgnored(block: Arguments, path: string): boolean {
  const ignored = block.get("lifecycle.ignore_changes");
  return Array.isArray(ignored) && ignored.includes(withoutIndexes(path).split(".")[0]);
}

/** Whether two resources differ only in names: their own, and those of the resources that they refer to. */
function isRename(from: string, before: Arguments, to: string, after: Arguments): boolean {
  const nameless = (block: Arguments) =>
    JSON.stringify([...block]).replaceAll(/((?:aws|null|tls)_\w+)\.[\w-]+/g, "$1.*");
  return typeOf(from) === typeOf(to) && nameless(before) === nameless(after);
}

function strongest(effects: readonly Effect[]): Effect {
  return STRENGTH[Math.max(0, ...effects.map((effect) => STRENGTH.indexOf(effect)))] as Effect;
}
