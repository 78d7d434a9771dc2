import { isDeepStrictEqual } from "node:util";
import { type Action, type ArgumentChange, type Changes, type ResourceChange, typeOf } from "./changes";
import { effectOf } from "./effects";

/** What a value is shown as that may not be seen. */
const MASK = "(sensitive)";

const KNOWN_LATER = "(known after apply)";

/** A plan that cannot be read; the message says in one line what is allowed and what it got. */
export class PlanError extends Error {}

interface Plan {
  readonly format_version: string;
  readonly errored?: boolean;
  readonly resource_changes?: readonly PlannedChange[];
  readonly output_changes?: Readonly<Record<string, Omit<PlannedChange["change"], "before" | "after"> & Values>>;
}

interface Values {
  readonly before?: unknown;
  readonly after?: unknown;
}

interface PlannedChange {
  readonly address: string;
  /** The address that it had before, where a `moved` block moves it. */
  readonly previous_address?: string;
  readonly mode: string;
  readonly action_reason?: string;
  readonly change: {
    readonly actions: readonly string[];
    readonly before: Record<string, unknown> | null;
    readonly after: Record<string, unknown> | null;
    readonly after_unknown?: unknown;
    readonly before_sensitive?: unknown;
    readonly after_sensitive?: unknown;
    readonly importing?: unknown;
    readonly replace_paths?: readonly (readonly (string | number)[])[];
  };
}

/** What Terraform's actions are called here. */
const ACTIONS: Readonly<Record<string, Action>> = {
  "no-op": "none",
  read: "none",
  forget: "forget",
  "create,forget": "replace",
  create: "create",
  delete: "destroy",
  update: "update",
  "delete,create": "replace",
  "create,delete": "replace",
};

/**
 * What a plan says will change, from `terraform show -json`. Values that Terraform marks as sensitive are masked.
 * @throws PlanError on a document of another kind or version
 */
export function readPlan(text: string): Changes {
  const plan = parse(text);
  const planned = (plan.resource_changes ?? []).filter(({ mode }) => mode === "managed");
  const resources = planned.flatMap((each): ResourceChange[] => {
    const action = actionOf(each.address, each.change.actions);
    const stays = action === "none" && each.previous_address === undefined && each.change.importing == null;
    return stays ? [] : [describe(each, action)];
  });
  return {
    resources: resources.sort((a, b) => (a.address < b.address ? -1 : 1)),
    copies: [],
    elsewhere: Object.entries(plan.output_changes ?? {})
      .filter(([name, { actions }]) => actionOf(`output.${name}`, actions) !== "none")
      .flatMap(([name, change]) => outputChange(`output.${name}`, change)),
  };
}

/** @throws PlanError on an action that is none of Terraform's */
function actionOf(address: string, actions: readonly string[]): Action {
  const action = ACTIONS[actions.join(",")];
  if (action === undefined) {
    throw new PlanError(
      `the plan's actions must be ${Object.keys(ACTIONS).join(" or ")}, got for ${address}: ${actions}`,
    );
  }
  return action;
}

/** An output's change, and with it whether it may be seen from now on. */
function outputChange(path: string, change: NonNullable<Plan["output_changes"]>[string]): ArgumentChange[] {
  const { before, after, before_sensitive, after_sensitive, after_unknown } = change;
  const note = "for whoever reads it";
  const seen = (each: unknown) => (each == null ? undefined : mask(mask(each, before_sensitive), after_sensitive));
  const known = hasTrue(after_unknown) ? KNOWN_LATER : seen(after);
  const value: ArgumentChange = { path, before: seen(before), after: known, action: "none", note };
  const [was, is] = [before_sensitive === true, after_sensitive === true];
  return was === is || before == null
    ? [value]
    : [value, { path: `${path}.sensitive`, before: was, after: is, action: "none", note }];
}

function parse(text: string): Plan {
  let plan: { format_version?: unknown; errored?: unknown };
  try {
    plan = JSON.parse(text);
  } catch {
    throw new PlanError("the plan must be JSON from `terraform show -json`");
  }
  const version = plan?.format_version;
  if (typeof version !== "string" || !version.startsWith("1.")) {
    throw new PlanError(`the plan's 'format_version' must be 1.x, got: ${JSON.stringify(version)}`);
  }
  if (plan.errored === true) throw new PlanError("the plan must be whole, got one that ended in an error");
  return plan as Plan;
}

function describe({ address, change, ...planned }: PlannedChange, planAction: Action): ResourceChange {
  const type = typeOf(address);
  const before = masked(change.before, change);
  const after = masked(change.after, change);
  const unknown = change.after_unknown as Record<string, unknown> | undefined;
  const forcing = new Set((change.replace_paths ?? []).map(([first]) => String(first)));
  const paths =
    planAction === "create" || planAction === "destroy"
      ? []
      : [...new Set([...Object.keys(before), ...Object.keys(after), ...Object.keys(unknown ?? {})])];
  const changed = paths.sort().flatMap((path): ArgumentChange[] => {
    const isUnknown = hasTrue(unknown?.[path]);
    const forces = forcing.has(path);
    // Of what is computed anew for another resource, only that counts which forces the replacement.
    if (isUnknown && !forces && planAction !== "update") return [];
    if (!isUnknown && isDeepStrictEqual(change.before?.[path], change.after?.[path])) return [];
    // Terraform does not say for which updates a machine is stopped.
    const stops = planAction === "update" && effectOf(type, path, undefined, undefined) === "restart";
    return [
      {
        path,
        before: before[path],
        after: isUnknown ? KNOWN_LATER : after[path],
        action: forces ? "replace" : stops ? "restart" : "update",
      },
    ];
  });
  return {
    address,
    action: changed.some(({ action }) => action === "restart") ? "restart" : planAction,
    arguments: changed,
    settings: planAction === "destroy" ? before : after,
    because: [],
    reason: change.importing == null ? planned.action_reason : "imported",
    movedFrom: planned.previous_address,
  };
}

/**
 * A resource's values with those hidden that the marks say to be sensitive, before or after: what loses its mark is not to
 * be seen for that. Whatever looks like a key is hidden too.
 */
function masked(
  values: Record<string, unknown> | null,
  { before_sensitive, after_sensitive }: PlannedChange["change"],
): Record<string, unknown> {
  return mask(mask(values ?? {}, before_sensitive), after_sensitive) as Record<string, unknown>;
}

function mask(value: unknown, marks: unknown): unknown {
  if (marks === true) return MASK;
  if (typeof value === "string") return value.includes("PRIVATE KEY") ? MASK : value;
  if (Array.isArray(value)) return value.map((each, index) => mask(each, (marks as unknown[] | undefined)?.[index]));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      mask(each, (marks as Record<string, unknown> | undefined)?.[key]),
    ]),
  );
}

function hasTrue(marks: unknown): boolean {
  if (marks === true) return true;
  return typeof marks === "object" && marks !== null && Object.values(marks).some(hasTrue);
}
