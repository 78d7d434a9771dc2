import { isDeepStrictEqual } from "node:util";
import { UserError } from "../model/user-error";
import { type Action, type ArgumentChange, type Changes, type ResourceChange, typeOf } from "./changes";
import { effectOf } from "./effects";

/** The text in place of a sensitive value. */
const MASK = "(sensitive)";

const KNOWN_LATER = "(known after apply)";

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
  /** Its address before, if a `moved` block moves it. */
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

/** The action for each of Terraform's lists of actions. */
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
 * Reads the changes of a plan from `terraform show -json`. Values that Terraform marks as sensitive are masked.
 * @throws UserError on a document of another kind or version
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

/** @throws UserError on an unknown action */
function actionOf(address: string, actions: readonly string[]): Action {
  const action = ACTIONS[actions.join(",")];
  if (action === undefined) {
    throw new UserError(
      `the plan's actions must be ${Object.keys(ACTIONS).join(" or ")}, got for ${address}: ${actions}`,
    );
  }
  return action;
}

/** The change of an output's value, and of its sensitivity. */
function outputChange(path: string, change: NonNullable<Plan["output_changes"]>[string]): ArgumentChange[] {
  const { before, after, before_sensitive, after_sensitive, after_unknown } = change;
  const note = "affects only readers of the output";
  const visible = (each: unknown) => (each == null ? undefined : mask(mask(each, before_sensitive), after_sensitive));
  const known = hasTrue(after_unknown) ? KNOWN_LATER : visible(after);
  const value: ArgumentChange = { path, before: visible(before), after: known, action: "none", note };
  const [hidden, stillHidden] = [before_sensitive === true, after_sensitive === true];
  return hidden === stillHidden || before == null
    ? [value]
    : [value, { path: `${path}.sensitive`, before: hidden, after: stillHidden, action: "none", note }];
}

function parse(text: string): Plan {
  let plan: { format_version?: unknown; errored?: unknown };
  try {
    plan = JSON.parse(text);
  } catch {
    throw new UserError("the plan must be JSON from `terraform show -json`");
  }
  const version = plan?.format_version;
  if (typeof version !== "string" || !version.startsWith("1.")) {
    throw new UserError(`the plan's 'format_version' must be 1.x, got: ${JSON.stringify(version)}`);
  }
  if (plan.errored === true) throw new UserError("the plan must be complete, got one that ended in an error");
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
    // In a replacement, a value that is not yet known counts only if it forces the replacement.
    if (isUnknown && !forces && planAction !== "update") return [];
    if (!isUnknown && isDeepStrictEqual(change.before?.[path], change.after?.[path])) return [];
    // A plan does not show which updates stop a machine.
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
 * The values of a resource. A value is masked if it is marked as sensitive before or after, so that a value that loses its
 * mark stays hidden. Every value that looks like a private key is masked too.
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
