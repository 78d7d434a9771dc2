import { z } from "zod";
import { type Configuration, isObject, type LeafChange, leafChanges } from "./arguments";

/** The tag that every resource of a cluster has: the cluster's name. No other setting changes it. */
export const NAME_TAG = /^provider\.aws\[0\]\.default_tags\[0\]\.tags\.Cluster$/;

/** A type of which nothing can be changed. */
export type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** The actions on a resource, in the order in which a page counts them. */
export const ACTIONS = ["create", "update", "restart", "replace", "destroy", "forget", "clean-up", "none"] as const;

const actionSchema = z
  .enum(ACTIONS)
  .describe(
    "`restart` is an update for which a machine is stopped and started. `forget` removes the resource from Terraform's " +
      "state without destroying it. `clean-up` destroys an object that an earlier replacement left; the resource itself stays.",
  );
/** The action on a resource. */
export type Action = z.infer<typeof actionSchema>;

/** The text in place of a value that Terraform knows only after the apply. */
export const KNOWN_LATER = "(known after apply)";

const argumentChangeSchema = z.strictObject({
  path: z.string().describe("The path of the argument in the resource, for example `metadata_options.http_tokens`."),
  before: z.unknown().optional().describe("Its value before; absent if it was not set."),
  after: z.unknown().optional().describe("Its value after; absent if it is no longer set."),
  action: z
    .enum(["update", "restart", "replace", "none"])
    .describe("The action that this change alone leads to, one of those of a resource."),
  unknown: z.literal(true).optional().describe("Set if the effect is not known. The action is then a guess."),
  refused: z.literal(true).optional().describe("Set if AWS never accepts this change."),
  note: z.string().optional().describe("The reason why it has no larger effect, or the time when it takes effect."),
});
/** An argument whose value changes. */
export type ArgumentChange = DeepReadonly<z.infer<typeof argumentChangeSchema>>;

const resourceChangeSchema = z.strictObject({
  address: z.string().describe("Its Terraform address."),
  type: z.string().describe("Its resource type, for example `aws_instance`."),
  action: actionSchema,
  unknown: z
    .boolean()
    .optional()
    .describe("Whether its type, or an argument with which it is created, is not in the table of effects."),
  arguments: z
    .array(argumentChangeSchema)
    .describe("The arguments that change by themselves; empty if the resource is created or destroyed."),
  settings: z
    .record(z.string(), z.unknown())
    .describe("All its arguments after the change, by path; before it, if the resource is destroyed."),
  because: z.array(z.string()).describe("The addresses of the changed resources that make this one change too."),
  reason: z.string().optional().describe("Terraform's own reason, for example `replace_because_tainted`."),
  imported: z.literal(true).optional().describe("Set if an existing object is imported into the state."),
  movedFrom: z.string().optional().describe("Its address before, if a `moved` block moves it."),
  renamedFrom: z
    .string()
    .optional()
    .describe("The address from which it is probably renamed: that of an equal resource that is destroyed."),
});
/** The change of a resource. */
export type ResourceChange = DeepReadonly<z.infer<typeof resourceChangeSchema>>;

const copyChangeSchema = z.strictObject({
  address: z.string().describe("The address of the copy."),
  file: z.string().describe("The path of the file on the machine."),
  change: z
    .enum([
      "added",
      "no longer copied",
      "mode changed",
      "owner changed",
      "source changed",
      "sent to another machine",
      "not of this project",
    ])
    .describe("A file that is no longer copied stays on the machine."),
  secret: z.literal(true).optional().describe("Set if it is not of this project, and contains a private key."),
});
/**
 * A change of a file that is copied to a machine. The copy of a new machine is compared with that of a machine of the same
 * role.
 */
export type CopyChange = DeepReadonly<z.infer<typeof copyChangeSchema>>;

const typeCountSchema = z.strictObject({
  type: z.string(),
  before: z.int().min(0).describe("The number before: in the base, or in the state of a plan."),
  after: z.int().min(0).describe("The number after."),
});
/** The number of resources of a type before and after. */
export type TypeCount = DeepReadonly<z.infer<typeof typeCountSchema>>;

/** All that changes between two configurations, or by a plan, as far as `--format json` prints it. */
export const changesSchema = z.strictObject({
  resources: z.array(resourceChangeSchema).describe("The resources that change, sorted by address."),
  counts: z.array(typeCountSchema).describe("The number of resources of each type, sorted by type."),
  copies: z
    .array(copyChangeSchema)
    .describe("The copied files that change. A plan has no files before: those that are not of this project."),
  elsewhere: z
    .array(argumentChangeSchema)
    .describe("Changes outside of resources (backend, providers, outputs, versions), sorted by path."),
  isSecondCluster: z
    .boolean()
    .optional()
    .describe(
      "Whether the configuration after is another cluster, with its own state, so that the cluster before stays.",
    ),
  isPartial: z.boolean().optional().describe("Whether the plan leaves changes out, for example because of `-target`."),
});

/** All that changes between two configurations, or by a plan. */
export interface Changes extends DeepReadonly<z.infer<typeof changesSchema>> {
  /** The configuration before. A plan does not contain it. */
  readonly before?: Configuration;
  /** The configuration after. */
  readonly after?: Configuration;
}

/** The number of resources of each type, sorted by type. @param before, after - the type of each resource */
export function countTypes(before: readonly string[], after: readonly string[]): TypeCount[] {
  const countIn = (all: readonly string[], type: string) => all.filter((each) => each === type).length;
  return [...new Set([...before, ...after])]
    .sort()
    .map((type) => ({ type, before: countIn(before, type), after: countIn(after, type) }));
}

/** The arguments of a resource that change, as their leaves. Of an argument with several, some may be equal. */
export function changedLeaves({ arguments: changed }: ResourceChange): LeafChange[] {
  return changed.flatMap(({ path, before, after }) => leafChanges(path, before, after));
}

/** A function that gives a value of the first cluster the name of a second one; without a second cluster, it changes nothing. */
export function asSecond({ elsewhere, isSecondCluster }: Changes): (value: unknown) => unknown {
  const names = elsewhere.find(({ path }) => NAME_TAG.test(path));
  if (isSecondCluster !== true || names === undefined) return (value) => value;
  // Names are a whole value, a part of a path, an option's value or in quotes. Elsewhere, the same letters are prose.
  const name = new RegExp(`(?<=^|["/=.])${String(names.before).replaceAll(/[^\w-]/g, "\\$&")}(?=$|[-./"\\\\ ])`, "g");
  const rename = (value: unknown): unknown => {
    if (typeof value === "string") return value.replaceAll(name, () => String(names.after));
    if (Array.isArray(value)) return value.map(rename);
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [rename(key), rename(each)]));
  };
  return rename;
}
