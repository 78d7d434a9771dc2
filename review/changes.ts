/**
 * The action on a resource. `restart` is an update for which a machine is stopped and started. `forget` removes the
 * resource from Terraform's state without destroying it.
 */
export type Action = "create" | "destroy" | "forget" | "replace" | "restart" | "update" | "none";

/** An argument whose value changes. */
export interface ArgumentChange {
  /** Its path in the resource, for example `metadata_options.http_tokens`. */
  readonly path: string;
  /** Its value before; undefined if it was not set. */
  readonly before?: unknown;
  /** Its value after; undefined if it is no longer set. */
  readonly after?: unknown;
  /** The action that this change alone leads to. */
  readonly action: Exclude<Action, "create" | "destroy" | "forget">;
  /** Set if the effect is not known. The action is then a guess. */
  readonly unknown?: true;
  /** The reason why it has no larger effect, or the time when it takes effect. */
  readonly note?: string;
}

/** The change of a resource. */
export interface ResourceChange {
  /** Its Terraform address. */
  readonly address: string;
  readonly action: Action;
  /** Whether it is created with a type or an argument that the table of effects does not know. */
  readonly unknown?: boolean;
  /** The arguments that change by themselves; empty if the resource is created or destroyed. */
  readonly arguments: readonly ArgumentChange[];
  /** All its arguments after the change, by path; before it, if the resource is destroyed. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The addresses of the changed resources that make this one change too. */
  readonly because: readonly string[];
  /** Terraform's own reason, for example `replace_because_tainted`. */
  readonly reason?: string;
  /** Its address before, if a `moved` block moves it. */
  readonly movedFrom?: string;
  /** The address from which it is probably renamed: that of an equal resource that is destroyed. */
  readonly renamedFrom?: string;
}

/** A change of a file that is copied to a machine. */
export interface CopyChange {
  /** The address of the copy. */
  readonly address: string;
  readonly file: string;
  readonly change: "added" | "removed" | "mode changed" | "source changed";
}

/** All that changes between two configurations. */
export interface Changes {
  /** Sorted by address. */
  readonly resources: readonly ResourceChange[];
  /** The copied files that change. */
  readonly copies: readonly CopyChange[];
  /** Changes outside of resources (backend, providers, outputs, versions), sorted by path. */
  readonly elsewhere: readonly ArgumentChange[];
}

/** The type of the resource at an address. */
export function typeOf(address: string): string {
  return address.split(".")[0] as string;
}
