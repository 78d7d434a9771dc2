import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { printable } from "../model/printable";
import { UserError } from "../model/user-error";
import {
  type Arguments,
  type Configuration,
  flatten,
  isObject,
  type LeafChange,
  leafChanges,
  nameOf,
  typeOf,
  withoutIndexes,
  withoutKeys,
} from "./arguments";
import {
  type Action,
  type ArgumentChange,
  type Changes,
  countTypes,
  KNOWN_LATER,
  type ResourceChange,
  type TypeCount,
} from "./changes";
import { UNKNOWN } from "./compare";
import { effectOf, isFullyKnown, refusalOf } from "./effects";
import { foreignFiles } from "./foreign-files";
import { EXPOSED, mark, masked, refersToSecret, SENSITIVE } from "./secrets";

/** The deepest nesting of a plan. Terraform's own values have less than 20 levels. */
const MAX_DEPTH = 200;

const text = z.string();
const anObject = z.record(z.string(), z.unknown());

const change = z.object({
  actions: z.array(text),
  before: anObject.nullish(),
  after: anObject.nullish(),
  after_unknown: z.unknown().optional(),
  before_sensitive: z.unknown().optional(),
  after_sensitive: z.unknown().optional(),
  importing: z.unknown().optional(),
  replace_paths: z.array(z.array(z.union([text, z.number()]))).nullish(),
});

/** The part of `terraform show -json` that this page reads. Terraform omits lists that are empty. */
const planSchema = z.object({
  complete: z.boolean().optional(),
  errored: z.boolean().optional(),
  resource_changes: z
    .array(
      z.object({
        address: text,
        type: text.optional(),
        mode: text,
        deposed: text.optional(),
        previous_address: text.optional(),
        action_reason: text.optional(),
        change,
      }),
    )
    .optional(),
  output_changes: z
    .record(z.string(), change.extend({ before: z.unknown().optional(), after: z.unknown().optional() }))
    .optional(),
  planned_values: anObject.optional(),
  deferred_changes: z.array(z.unknown()).optional(),
  action_invocations: z.array(z.unknown()).optional(),
  configuration: z
    .object({
      provider_config: z
        .record(
          z.string(),
          z.object({ full_name: text.optional(), alias: text.optional(), expressions: anObject.optional() }),
        )
        .optional(),
      root_module: anObject.optional(),
    })
    .optional(),
});

type Plan = z.infer<typeof planSchema>;
type PlannedChange = NonNullable<Plan["resource_changes"]>[number];
type OutputChange = NonNullable<Plan["output_changes"]>[string];
type Values = Record<string, unknown>;

/** The action for each of Terraform's lists of actions. */
const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ["no-op", "none"],
  ["read", "none"],
  ["forget", "forget"],
  ["create,forget", "replace"],
  ["create", "create"],
  ["delete", "destroy"],
  ["update", "update"],
  ["delete,create", "replace"],
  ["create,delete", "replace"],
] as const);

/** The providers of this project. */
const PROVIDERS =
  /^(registry\.(terraform\.io|opentofu\.org)\/hashicorp\/(aws|null|tls)|terraform\.io\/builtin\/terraform)$/;

/**
 * Reads the changes of a plan from `terraform show -json`. Values that Terraform marks as sensitive, and everything that looks
 * like a private key, are masked.
 * @throws UserError on any other document, and on a plan that ended in an error
 */
export function readPlan(json: string): Changes {
  const plan = parse(json);
  const configuration = readModule(plan.configuration?.root_module);
  const planned = (plan.resource_changes ?? []).filter(({ mode }) => mode === "managed");
  const resources = planned.flatMap((each): ResourceChange[] => {
    const action = actionOf(each.address, each.change.actions);
    const stays = action === "none" && each.previous_address === undefined && each.change.importing == null;
    return stays ? [] : [describe(each, action, configuration)];
  });
  return {
    resources: resources.sort((a, b) => (a.address < b.address ? -1 : 1)),
    counts: countsOf(planned),
    copies: resources.flatMap(({ address, action }) =>
      action === "create" || action === "replace" ? foreignFiles(address, configuration) : [],
    ),
    elsewhere: [
      ...Object.entries(plan.output_changes ?? {})
        .filter(([name, { actions }]) => actionOf(`output.${name}`, actions) !== "none")
        .flatMap(([name, each]) => outputChange(name, each, plan.configuration?.root_module)),
      ...unknownParts(plan, configuration),
    ],
    isPartial: plan.complete === false || (plan.deferred_changes ?? []).length > 0,
    after: configuration,
  };
}

/** The number of resources in the state before and after the plan. An object that a replacement left is no resource. */
function countsOf(planned: readonly PlannedChange[]): TypeCount[] {
  const own = planned.filter(({ deposed }) => deposed === undefined);
  const typesOf = (some: readonly PlannedChange[]) => some.map(({ address, type }) => type ?? typeOf(address));
  return countTypes(
    typesOf(own.filter(({ change: { before, importing } }) => before != null && importing == null)),
    typesOf(own.filter(({ change: { after } }) => after != null)),
  );
}

function parse(json: string): Plan {
  let plan: unknown;
  try {
    plan = JSON.parse(json.replace(/^\uFEFF/, ""));
  } catch {
    throw new UserError("the plan must be JSON from `terraform show -json`");
  }
  const document = isObject(plan) ? plan : {};
  const version = document.format_version;
  if (typeof version !== "string" || !/^1\.\d+$/.test(version)) {
    throw new UserError(`the plan's 'format_version' must be 1.x, got: ${JSON.stringify(masked(version))}`);
  }
  if (isDeeperThan(plan, MAX_DEPTH)) throw new UserError(`the plan must have at most ${MAX_DEPTH} levels of nesting`);
  if (document.errored === true) throw new UserError("the plan must be complete, got one that ended in an error");
  const parts = ["resource_changes", "output_changes", "planned_values"];
  if (!parts.some((part) => document[part] !== undefined)) {
    const got = document.values === undefined ? "another document of Terraform" : "a state";
    throw new UserError(`the plan must be from \`terraform show -json PLAN\` with the file of a plan, got ${got}`);
  }
  const { error } = planSchema.safeParse(plan);
  const [issue] = error?.issues ?? [];
  if (issue !== undefined) {
    throw new UserError(
      `the plan's '${printable(issue.path.join("."))}' must be as Terraform writes it: ${issue.message}`,
    );
  }
  return plan as Plan;
}

/** Whether a value has more levels of nesting. It does not use recursion, which would fail at some thousand levels. */
function isDeeperThan(value: unknown, depth: number): boolean {
  let level: unknown[] = [value];
  for (let count = 0; level.length > 0; count++) {
    if (count > depth) return true;
    level = level.flatMap((each) => (typeof each === "object" && each !== null ? Object.values(each) : []));
  }
  return false;
}

/** @throws UserError on an unknown action */
function actionOf(address: string, actions: readonly string[]): Action {
  const action = ACTIONS.get(actions.join(","));
  if (action === undefined) {
    const got = [address, actions.join(",")].map((each) => printable(String(masked(each))));
    throw new UserError(`the plan's actions must be ${[...ACTIONS.keys()].join(" or ")}, got for ${got.join(": ")}`);
  }
  return action;
}

/** The change of an output's value, and of its sensitivity. */
function outputChange(name: string, { before, after, ...marks }: OutputChange, module: Values = {}): ArgumentChange[] {
  const path = `output.${name}`;
  const note = "affects only readers of the output";
  const [hidden, stillHidden] = [marks.before_sensitive === true, marks.after_sensitive === true];
  const expression = (mark(mark(module.outputs, name), "expression") ?? {}) as Values;
  const isExposed = !stillHidden && marks.after_sensitive !== undefined && refersToSecret(written(expression, ""));
  const known = masked(after, marks.after_sensitive, marks.before_sensitive, false);
  const shown = stillHidden && hasTrue(marks.after_unknown) ? SENSITIVE : overlay(known, marks.after_unknown);
  const value: ArgumentChange = {
    path,
    before: masked(before, marks.before_sensitive, marks.after_sensitive, false) ?? undefined,
    after: (isExposed ? EXPOSED : shown) ?? undefined,
    action: "none",
    note,
  };
  return hidden === stillHidden || before == null
    ? [value]
    : [value, { path: `${path}.sensitive`, before: hidden, after: stillHidden, action: "none", note }];
}

/** The parts of a plan whose effect this page does not know, whether they change or not: a plan has no configuration before. */
function unknownParts({ configuration, action_invocations = [] }: Plan, after: Configuration): ArgumentChange[] {
  const unknown = { action: "none", unknown: true, note: UNKNOWN } as const;
  return [
    ...Object.entries(configuration?.provider_config ?? {}).flatMap(([key, provider]) => providerParts(key, provider)),
    ...[...after.keys()]
      .filter((address) => ["data", "ephemeral"].includes(typeOf(address)) && nameOf(address) !== "aws_ami")
      .map((address) => ({ path: address, after: masked(Object.fromEntries(after.get(address) ?? [])), ...unknown })),
    ...unknownSections(configuration?.root_module).map((path) => ({ path, after: "(set)", ...unknown })),
    ...(action_invocations.length === 0
      ? []
      : [{ path: "action_invocations", after: masked(action_invocations), ...unknown }]),
  ];
}

/** The sections of a module in a plan that this page reads, or that have no effect on their own. */
const SECTIONS = ["outputs", "resources", "module_calls", "variables"];

/** The other sections of a module and of the modules in it. */
function unknownSections(module: unknown, prefix = ""): string[] {
  const sections = isObject(module) ? module : {};
  const calls = isObject(sections.module_calls) ? sections.module_calls : {};
  return [
    ...Object.keys(sections)
      .filter((name) => !SECTIONS.includes(name))
      .map((name) => `${prefix}${name}`),
    ...Object.entries(calls).flatMap(([name, call]) =>
      unknownSections(mark(call, "module"), `${prefix}module.${name}.`),
    ),
  ];
}

type Provider = NonNullable<NonNullable<Plan["configuration"]>["provider_config"]>[string];

/** The arguments that this project sets, by provider. */
const PROVIDER_ARGUMENTS: Readonly<Record<string, readonly string[]>> = { aws: ["region", "default_tags"] };

/** The parts of a provider's configuration that are not those of this project. Their values may be credentials. */
function providerParts(key: string, { full_name, alias, expressions = {} }: Provider): ArgumentChange[] {
  const part = { after: "(set)", action: "none", note: "the configuration of a provider" } as const;
  const isForeign = full_name !== undefined && !PROVIDERS.test(full_name);
  const known = (Object.hasOwn(PROVIDER_ARGUMENTS, key) && PROVIDER_ARGUMENTS[key]) || [];
  const others = Object.keys(expressions).filter((name) => !known.includes(name));
  return [
    ...(isForeign
      ? [
          {
            ...part,
            path: `terraform.required_providers.${key}`,
            after: masked(full_name),
            note: "the source of a provider",
          },
        ]
      : []),
    ...(alias === undefined
      ? others.map((name) => ({ ...part, path: `provider.${key}.${name}` }))
      : [{ ...part, path: `provider.${key}` }]),
  ];
}

/** The configuration of a module in a plan, in the form of a synthesized document: a reference is a template. */
function readModule(module: unknown, prefix = ""): Map<string, ReadonlyMap<string, unknown>> {
  const { resources, module_calls } = isObject(module) ? module : {};
  const own = (Array.isArray(resources) ? resources.filter(isObject) : []).map((resource) => {
    const { address, expressions, count_expression, for_each_expression, depends_on, provisioners } = resource;
    const provisioner = (Array.isArray(provisioners) ? provisioners.filter(isObject) : []).map((each) => ({
      [String(each.type)]: written(each.expressions, prefix),
    }));
    const block = {
      ...(written(expressions ?? {}, prefix) as Values),
      ...(count_expression !== undefined && { count: written(count_expression, prefix) }),
      ...(for_each_expression !== undefined && { for_each: written(for_each_expression, prefix) }),
      ...(provisioner.length > 0 && { provisioner }),
      ...(Array.isArray(depends_on) && { depends_on }),
    };
    return [`${prefix}${address}`, flatten(block)] as const;
  });
  const calls = Object.entries(isObject(module_calls) ? module_calls : {});
  return new Map([
    ...own,
    ...calls.flatMap(([name, call]) => [...readModule(mark(call, "module"), `${prefix}module.${name}.`)]),
  ]);
}

/** A value of the plan's configuration as it was written: its constant, or a template with its references. */
function written(expression: unknown, prefix: string): unknown {
  if (Array.isArray(expression)) return expression.map((each) => written(each, prefix));
  if (!isObject(expression)) return expression;
  if (Object.hasOwn(expression, "constant_value")) return expression.constant_value;
  if (Array.isArray(expression.references)) {
    const all = expression.references.map(String);
    // After each reference, Terraform lists the resource that it refers to.
    const own = all.filter(
      (each, index) => !(all[index - 1]?.startsWith(`${each}.`) || all[index - 1]?.startsWith(`${each}[`)),
    );
    return `$\{${own.map((each) => `${prefix}${each}`).join(", ")}}`;
  }
  return Object.fromEntries(Object.entries(expression).map(([key, each]) => [key, written(each, prefix)]));
}

/** An address in which a key of `for_each` that looks like a private key is masked. */
function maskedAddress(address: string): string {
  return address.replaceAll(/(?<=\[)"(?:[^"\\]|\\.)*"(?=\])/g, (key) => {
    const text = masked(key.replaceAll(/\\[nrt]/g, "\n"));
    return text === EXPOSED ? JSON.stringify(EXPOSED) : key;
  });
}

function describe(planned: PlannedChange, planAction: Action, configuration: Configuration): ResourceChange {
  const { change } = planned;
  const address = maskedAddress(planned.address);
  const { type = typeOf(address), previous_address } = planned;
  const before = maskedValues(change.before, change.before_sensitive, change.after_sensitive, false);
  const after = maskedValues(change.after, change.after_sensitive, change.before_sensitive, true);
  const shared = { address, type, because: [], movedFrom: previous_address && maskedAddress(previous_address) };
  if (planned.deposed !== undefined) {
    const action = planAction === "destroy" ? "clean-up" : planAction;
    return { ...shared, action, arguments: [], settings: Object.fromEntries(flatten(before)) };
  }
  const source = configuration.get(withoutKeys(address));
  const changed = argumentChanges(type, planned.change, planAction, { before, after }, source === undefined);
  const isMade = planAction === "create" || planAction === "replace";
  return {
    ...shared,
    action: changed.some(({ action }) => action === "restart") ? "restart" : planAction,
    ...(isMade &&
      !isFullyKnown(type, [...(source?.keys() ?? []), ...dynamicPaths(change.after, source)]) && { unknown: true }),
    arguments: changed,
    settings: Object.fromEntries(flatten(planAction === "destroy" || planAction === "forget" ? before : after)),
    reason: planned.action_reason,
    ...(change.importing != null && { imported: true }),
  };
}

/**
 * The paths of blocks that are planned, but are not in the configuration: `dynamic` makes them, and a plan does not contain
 * `dynamic`. Other planned values that are not in the configuration are the provider's defaults.
 */
function dynamicPaths(planned: Values | null | undefined, source: Arguments = new Map()): string[] {
  const configured = new Set([...source.keys()].map((path) => path.split(/[.[(]/)[0]));
  return Object.entries(planned ?? {})
    .filter(([name, value]) => !configured.has(name) && Array.isArray(value) && value.some(isObject))
    .flatMap(([name, value]) => [...flatten(value, name).keys()]);
}

function argumentChanges(
  type: string,
  change: PlannedChange["change"],
  planAction: Action,
  shown: { readonly before: Values; readonly after: Values },
  hasNoSource: boolean,
): ArgumentChange[] {
  if (planAction === "create" || planAction === "destroy") return [];
  const forcing = new Set((change.replace_paths ?? []).map(([first]) => String(first)));
  const unknowns = isObject(change.after_unknown) ? change.after_unknown : {};
  const paths = new Set([...Object.keys(shown.before), ...Object.keys(shown.after), ...Object.keys(unknowns)]);
  return [...paths].sort().flatMap((path): ArgumentChange[] => {
    const [rawBefore, rawAfter, unknown] = [change.before, change.after, unknowns].map((all) => mark(all, path));
    const isUnknown = hasTrue(unknown);
    const forces = forcing.has(path);
    const hasKnownChange = !isDeepStrictEqual(overlay(rawBefore, unknown), overlay(rawAfter, unknown));
    // In a replacement, a value that is not yet known counts only if it forces the replacement.
    if (!hasKnownChange && !forces && !(isUnknown && planAction === "update")) return [];
    const row = { path, before: mark(shown.before, path), after: overlay(mark(shown.after, path), unknown) };
    if (planAction !== "update") {
      const isNew = hasNoSource && !forces && unknown !== true && !isKnownPath(type, path, rawBefore, rawAfter);
      return [{ ...row, action: forces ? "replace" : "update", ...(isNew && { unknown: true, note: UNKNOWN }) }];
    }
    const leaves = differingLeaves(path, overlay(rawBefore, unknown), overlay(rawAfter, unknown));
    const refusal = leaves.map((leaf) => refusalOf(type, leaf.path, leaf.before, leaf.after)).find(Boolean);
    if (refusal !== undefined) return [{ ...row, action: "update", note: refusal, refused: true }];
    if (unknown !== true && !isKnownPath(type, path, rawBefore, overlay(rawAfter, unknown))) {
      return [{ ...row, action: "update", unknown: true, note: UNKNOWN }];
    }
    // A plan does not show which updates stop a machine.
    const stops = leaves.some((leaf) => effectOf(type, leaf.path, undefined, undefined) === "restart");
    return [{ ...row, action: stops ? "restart" : "update" }];
  });
}

/** Whether the table of effects has every part of an argument that changes. */
function isKnownPath(type: string, path: string, before: unknown, after: unknown): boolean {
  return isFullyKnown(
    type,
    differingLeaves(path, before, after).map((leaf) => leaf.path),
  );
}

/** The leaves of an argument that differ, by their paths without indexes. For Terraform, null is no value. */
function differingLeaves(path: string, before: unknown, after: unknown): LeafChange[] {
  return leafChanges(path, before ?? undefined, after ?? undefined)
    .filter((leaf) => !isDeepStrictEqual(leaf.before ?? undefined, leaf.after ?? undefined))
    .map((leaf) => ({ ...leaf, path: withoutIndexes(leaf.path) }));
}

/** The values of a resource, masked one by one, also if the whole resource is marked as sensitive. */
function maskedValues(values: Values | null | undefined, marks: unknown, otherMarks: unknown, lost: boolean): Values {
  const own = values ?? {};
  const result = masked(own, marks, otherMarks, lost);
  return isObject(result) ? result : Object.fromEntries(Object.keys(own).map((key) => [key, result ?? SENSITIVE]));
}

/** A value in which each part that is not known yet has a text instead. */
function overlay(value: unknown, unknown: unknown): unknown {
  if (unknown === true) return KNOWN_LATER;
  if (!hasTrue(unknown)) return value;
  if (Array.isArray(unknown)) {
    const known = Array.isArray(value) ? value : [];
    return Array.from({ length: Math.max(known.length, unknown.length) }, (_, index) =>
      overlay(known[index], unknown[index]),
    );
  }
  const known = isObject(value) ? value : {};
  const keys = [...new Set([...Object.keys(known), ...Object.keys(unknown as Values)])];
  return Object.fromEntries(keys.map((key) => [key, overlay(mark(known, key), mark(unknown, key))]));
}

function hasTrue(marks: unknown): boolean {
  if (marks === true) return true;
  return typeof marks === "object" && marks !== null && Object.values(marks).some(hasTrue);
}
