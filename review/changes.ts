import type { Configuration } from "./arguments";

/** The tag that every resource of a cluster has: the cluster's name. No other setting changes it. */
export const NAME_TAG = /^provider\.aws\[0\]\.default_tags\[0\]\.tags\.Cluster$/;

/**
 * The action on a resource. `restart` is an update for which a machine is stopped and started. `forget` removes the
 * resource from Terraform's state without destroying it. `clean-up` destroys an object that an earlier replacement left; the
 * resource itself stays.
 */
export type Action = "create" | "destroy" | "forget" | "replace" | "restart" | "update" | "clean-up" | "none";

/** The text in place of a value that Terraform knows only after the apply. */
export const KNOWN_LATER = "(known after apply)";

/** An argument whose value changes. */
export interface ArgumentChange {
  /** Its path in the resource, for example `metadata_options.http_tokens`. */
  readonly path: string;
  /** Its value before; undefined if it was not set. */
  readonly before?: unknown;
  /** Its value after; undefined if it is no longer set. */
  readonly after?: unknown;
  /** The action that this change alone leads to. */
  readonly action: Exclude<Action, "create" | "destroy" | "forget" | "clean-up">;
  /** Set if the effect is not known. The action is then a guess. */
  readonly unknown?: true;
  /** Set if AWS never accepts this change. */
  readonly refused?: true;
  /** The reason why it has no larger effect, or the time when it takes effect. */
  readonly note?: string;
}

/** The change of a resource. */
export interface ResourceChange {
  /** Its Terraform address. */
  readonly address: string;
  /** Its resource type, for example `aws_instance`. */
  readonly type: string;
  readonly action: Action;
  /** Whether its type, or an argument with which it is created, is not in the table of effects. */
  readonly unknown?: boolean;
  /** The arguments that change by themselves; empty if the resource is created or destroyed. */
  readonly arguments: readonly ArgumentChange[];
  /** All its arguments after the change, by path; before it, if the resource is destroyed. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The addresses of the changed resources that make this one change too. */
  readonly because: readonly string[];
  /** Terraform's own reason, for example `replace_because_tainted`. */
  readonly reason?: string;
  /** Whether an existing object is imported into the state. */
  readonly imported?: true;
  /** Its address before, if a `moved` block moves it. */
  readonly movedFrom?: string;
  /** The address from which it is probably renamed: that of an equal resource that is destroyed. */
  readonly renamedFrom?: string;
}

/**
 * A change of a file that is copied to a machine. The copy of a new machine is compared with that of a machine of the same
 * role.
 */
export interface CopyChange {
  /** The address of the copy. */
  readonly address: string;
  readonly file: string;
  readonly change:
    | "added"
    // The file stays on the machine.
    | "no longer copied"
    | "mode changed"
    | "owner changed"
    | "source changed"
    | "sent to another machine"
    | "not of this project";
  /** Whether it is not of this project, and contains a private key. */
  readonly secret?: true;
}

/** All that changes between two configurations, or by a plan. */
export interface Changes {
  /** Sorted by address. */
  readonly resources: readonly ResourceChange[];
  /** The copied files that change. A plan has no files before: those that are not of this project. */
  readonly copies: readonly CopyChange[];
  /** Changes outside of resources (backend, providers, outputs, versions), sorted by path. */
  readonly elsewhere: readonly ArgumentChange[];
  /** Whether the configuration after is another cluster, with its own state, so that the cluster before stays. */
  readonly isSecondCluster?: boolean;
  /** Whether the plan leaves changes out, for example because of `-target`. */
  readonly isPartial?: boolean;
  /** The configuration before. A plan does not contain it. */
  readonly before?: Configuration;
  /** The configuration after. */
  readonly after?: Configuration;
}
