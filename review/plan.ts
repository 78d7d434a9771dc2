import { isDeepStrictEqual } from "node:util";
import type { Action, ArgumentChange, Changes, ResourceChange } from "./changes";
import { effectOf } from "./effects";

/** What a value is shown as that may not be seen. */
const MASK = "(sensitive)";

/** A plan that cannot be read; the message says in one line what is allowed and what it got. */
export class PlanError extends Error {}

interface Plan {
  readonly format_version: string;
  readonly errored?: boolean;
  readonly resource_changes?: readonly PlannedChange[];
  readonly output_changes?: Readonly<Record<string, { readonly actions: readonly string[] }>>;
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
    readonly replace_paths?: readonly (readonly (string | number)[])[];
  };
}

const ACTIONS: Readonly<Record<string, Action>> = {
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
    const action = ACTIONS[each.change.actions.join(",")] ?? "none";
    return action === "none" && each.previous_address === undefined ? [] : [describe(each, action)];
  });
  const outputs = Object.entries(plan.output_changes ?? {}).filter(([, { actions }]) =>
    actions.some((action) => action === "create" || action === "delete"),
  );
  return {
    resources: resources.sort((a, b) => (a.address < b.address ? -1 : 1)),
    copies: [],
    elsewhere: outputs.map(([name, { actions }]) => ({
      path: `output.${name}`,
      action: "none",
      note: actions.includes("create") ? "added" : "removed",
    })),
  };
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
  const type = address.split(".")[0] as string;
  const before = masked(change.before, change.before_sensitive);
  const after = masked(change.after, change.after_sensitive);
  const unknown = change.after_unknown as Record<string, unknown> | undefined;
  const forcing = new Set((change.replace_paths ?? []).map(([first]) => String(first)));
  const paths =
    planAction === "create" || planAction === "destroy"
      ? []
      : [...new Set([...Object.keys(before), ...Object.keys(after), ...Object.keys(unknown ?? {})])];
  const changed = paths.sort().flatMap((path): ArgumentChange[] => {
    const isUnknown = hasTrue(unknown?.[path]);
    const forces = forcing.has(path);
    // Of what is computed, only that counts which forces the replacement.
    if (isUnknown && !forces) return [];
    if (!isUnknown && isDeepStrictEqual(change.before?.[path], change.after?.[path])) return [];
    // Terraform does not say for which updates a machine is stopped.
    const stops = planAction === "update" && effectOf(type, path, undefined, undefined) === "restart";
    return [
      {
        path,
        before: before[path],
        after: isUnknown ? "(known after apply)" : after[path],
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
    reason: planned.action_reason,
    movedFrom: planned.previous_address,
  };
}

/** A resource's values with those hidden that the marks say to be sensitive, and whatever looks like a key. */
function masked(values: Record<string, unknown> | null, marks: unknown): Record<string, unknown> {
  return (mask(values ?? {}, marks) ?? {}) as Record<string, unknown>;
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
