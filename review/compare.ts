import { normalize } from "node:path/posix";
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
import { type Action, type ArgumentChange, type Changes, countTypes, NAME_TAG, type ResourceChange } from "./changes";
import { copyChanges } from "./copy-changes";
import { CHANGED_BY_RESTART, type Effect, effectOf, hasDefaultTags, isFullyKnown, isKept, refusalOf } from "./effects";
import { checkShape } from "./shape";

/** The compared part of a synthesized document. */
export interface Document {
  readonly resource?: Readonly<Record<string, Readonly<Record<string, Block>>>>;
  readonly [section: string]: unknown;
}

type Block = Readonly<Record<string, unknown>>;

/** The compared files of the project, by path: `cdktf.json` without its context, which is in the documents. */
export type ProjectFiles = Readonly<Record<string, unknown>>;

/** The effects, from the weakest to the strongest. */
const STRENGTH: readonly Effect[] = ["none", "update", "restart", "replace"];

/** Sections that the general comparison omits: cdktf's notes, and blocks that are compared one by one. */
const HANDLED_SEPARATELY = ["//", "resource", "data", "output"];

/** The place of the state. */
const BACKEND = /^terraform\.backend\./;

/** The note for a `moved` or a `removed` block. */
const MOVED = "applies only to a resource that the state has at the old address";

const DEFAULT_TAGS = /^provider\.aws\b.*\.default_tags\b/;

/** The address of a resource outside of modules, without a key. */
const RESOURCE = /^(?!module\.)[a-z]\w*\.[\w-]+$/;

/** The effect of a change outside of resources. If a row has a pattern of values, other values are unknown. */
const NOTES: readonly (readonly [path: RegExp, note: string, value?: RegExp])[] = [
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
  [/^moved(\[\d+\])?\.(from|to)$/, MOVED, RESOURCE],
  [/^removed(\[\d+\])?\.from$/, MOVED, RESOURCE],
  [/^removed(\[\d+\])?\.lifecycle(\[0\])?\.destroy$/, MOVED],
  [/^stacks\/.*\.terraform\.lock\.hcl$/, "the versions and hashes of the providers"],
  [/^cdktf\.json\.app\b/, "the command that synthesizes"],
  [/^cdktf\.json\.output\b/, "the folder of the stacks, where relative paths of the state begin"],
];

/** The note for an argument that the table of effects does not know. */
export const UNKNOWN = "unknown to this page: read the plan";

/** The note for an argument that is removed, and whose value stays. */
const KEPT = "no longer set: the existing value stays";

/**
 * Compares two synthesized documents by Terraform address, without a plan. With another name and another state, the document is
 * a second cluster, so all its resources are created.
 * @returns the changes and their consequences
 * @throws UserError on a document with a shape that Terraform refuses
 */
export function compare(base: Document, changed: Document): Changes {
  for (const document of [base, changed]) checkShape(document);
  const moves = movesOf(base, changed);
  const moved = applyMoves(base, moves);
  const outside = elsewhere(moved, changed);
  const hasChanged = (pattern: RegExp) =>
    outside.some(({ path, before }) => pattern.test(path) && before !== undefined);
  const isSecondCluster = hasChanged(NAME_TAG) && hasOtherState(base, changed);
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

  const movedFrom = (address: string) => moves.find(({ to }) => to === address)?.from;
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
    counts: countTypes([...before.keys()].map(typeOf), [...after.keys()].map(typeOf)),
    copies: copyChanges(before, after),
    elsewhere: isSecondCluster ? outside.map(ofSecondCluster) : outside,
    isSecondCluster,
    before: configuration(moved),
    after: configuration(changed),
  };
}

/** A change outside of resources, with the effect that it has if the document is a second cluster. */
function ofSecondCluster(change: ArgumentChange): ArgumentChange {
  const note = [
    [DEFAULT_TAGS, "the tags of the second cluster"] as const,
    [BACKEND, "the location of the second cluster's state"] as const,
  ].find(([pattern]) => pattern.test(change.path))?.[1];
  return note === undefined ? change : { ...change, note };
}

/** The arguments of each known type of backend that say which state it is. Others say only how it is reached. */
const STATE_PLACES: Readonly<Record<string, readonly string[]>> = { local: ["path"], s3: ["bucket", "key"] };

/** Whether two documents surely have different states. */
function hasOtherState(base: Document, changed: Document): boolean {
  const [[type, place], [otherType, otherPlace]] = [stateOf(base), stateOf(changed)];
  if (type === undefined || otherType === undefined) return false;
  return type !== otherType || !isDeepStrictEqual(place, otherPlace);
}

/** The type and the place of a document's state; none if they are not known. */
function stateOf({ terraform }: Document): readonly [type?: string, place?: readonly string[]] {
  const backends = Object.entries(isObject(terraform) && isObject(terraform.backend) ? terraform.backend : {});
  const [[type, block] = []] = backends;
  const names = type !== undefined && Object.hasOwn(STATE_PLACES, type) ? STATE_PLACES[type] : undefined;
  const settings = [block].flat()[0];
  const place = names?.map((name) => (isObject(settings) ? settings[name] : undefined));
  if (backends.length !== 1 || !place?.every((part) => typeof part === "string")) return [];
  return [type, place.map((part) => (type === "local" ? normalize(part) : part))];
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
    const action = outcomes.get(address)?.action ?? "none";
    if (action === "none") return false;
    const isPart = (path: string) => path.startsWith(attribute) && /^([.[]|$)/.test(path.slice(attribute.length));
    // An argument without effect is ignored, or keeps its value.
    if (direct.get(address)?.some((change) => isPart(change.path) && change.action !== "none")) return true;
    if (action === "restart" && CHANGED_BY_RESTART.includes(attribute)) return true;
    const values = [...argumentsOf(after, address)].filter(([path]) => isPart(path));
    // A literal stays the same when its resource is replaced.
    return values.length === 0
      ? action === "replace"
      : values.some(([, value]) => references(value).some(valueChanges));
  };

  for (let isUnfinished = true; isUnfinished; ) {
    isUnfinished = false;
    for (const [address, outcome] of outcomes) {
      const because = new Set<string>();
      const effects: Effect[] = [outcome.action];
      for (const [path, value] of argumentsOf(after, address)) {
        const triggers = withoutIndexes(path) === TRIGGERS;
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
    if (withoutIndexes(path) === "lifecycle.ignore_changes") return [ignoreListChange(address, change)];
    if (withoutIndexes(path) === TRIGGERS && ![change.after ?? []].flat().every((each) => TRIGGER.test(String(each)))) {
      return [{ ...change, action: "replace", note: UNKNOWN, unknown: true }];
    }
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
  // Instead of a list, it may be "all".
  const [before, after] = [[change.before ?? []].flat(), [change.after ?? []].flat()] as [string[], string[]];
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
  return differences(flat(documentBefore), flat(documentAfter));
}

/** The changes of the project's files. Each file is like a section of the document. */
export function fileChanges(before: ProjectFiles, after: ProjectFiles): ArgumentChange[] {
  const flat = (files: ProjectFiles) =>
    new Map(Object.entries(files).flatMap(([file, content]) => [...flatten(content, file)]));
  return differences(flat(before), flat(after));
}

/** The arguments outside of resources that differ, with their effects, sorted by path. */
function differences(before: Arguments, after: Arguments): ArgumentChange[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  return paths
    .filter((path) => !isDeepStrictEqual(before.get(path), after.get(path)))
    .map((path) => {
      const values = [before.get(path), after.get(path)].filter((value) => value !== undefined);
      const note = NOTES.find(
        ([pattern, , known]) => pattern.test(path) && values.every((value) => known?.test(String(value)) !== false),
      )?.[1];
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

/**
 * The moves that Terraform makes if the state has the base's resources. It moves a resource step by step through the `moved`
 * blocks, and never to an address that already has one. Addresses in modules and with keys are not followed.
 */
function movesOf(base: Document, { moved }: Document): readonly Move[] {
  const steps = [moved]
    .flat()
    .filter(isObject)
    .filter(({ from, to }) => RESOURCE.test(String(from)) && RESOURCE.test(String(to))) as unknown as readonly Move[];
  const existing = [...blocks(base.resource).keys()];
  const taken = new Set(existing);
  return existing.flatMap((from) => {
    let to = from;
    for (;;) {
      const next = steps.find((step) => step.from === to)?.to;
      if (next === undefined || taken.has(next)) break;
      taken.add(next);
      to = next;
    }
    return to === from ? [] : [{ from, to }];
  });
}

/** Makes moves in a document: moved resources get their new addresses, and so do the references to them. */
function applyMoves(document: Document, moves: readonly Move[]): Document {
  if (moves.length === 0) return document;
  const targets = new Map(moves.map(({ from, to }) => [from, to]));
  const text = JSON.stringify(document).replaceAll(
    /(?<![\w.-])[a-z]\w*\.[\w-]+/g,
    (address) => targets.get(address) ?? address,
  );
  const changed = JSON.parse(text);
  for (const { from, to } of moves) {
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

const TRIGGERS = "lifecycle.replace_triggered_by";

/** A trigger as this project writes it: an address, or one of its attributes. */
const TRIGGER = /^([a-z]\w*\.[\w-]+)(?:\.(\w+))?$/;

/** The triggers in `replace_triggered_by`. In an expression of another form, each resource that it may mean is a trigger. */
function triggersOf(value: unknown): Reference[] {
  return [value].flat().flatMap((trigger) => {
    const [, address, attribute = ""] = TRIGGER.exec(String(trigger)) ?? [];
    if (address !== undefined) return [{ address, attribute }];
    const text = String(trigger).replaceAll(/\s+|\/\*.*?\*\//gs, "");
    return [...text.matchAll(/[a-z]\w*\.[\w-]+/g)].map(([each]) => ({ address: each, attribute: "" }));
  });
}

function isIgnored(block: Arguments, path: string): boolean {
  const name = withoutIndexes(path).split(".")[0];
  return [...block].some(
    ([each, value]) =>
      withoutIndexes(each) === "lifecycle.ignore_changes" && Array.isArray(value) && value.includes(name),
  );
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
