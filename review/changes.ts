/**
 * What becomes of a resource that exists. `restart` is an update for which a machine is stopped and started; what is
 * forgotten stays as it is, without Terraform.
 */
export type Action = "create" | "destroy" | "forget" | "replace" | "restart" | "update" | "none";

/** An argument whose value changes. */
export interface ArgumentChange {
  /** Its path in the resource, `metadata_options.http_tokens`. */
  readonly path: string;
  /** Its value before; undefined where it was not set. */
  readonly before?: unknown;
  /** Its value after; undefined where it is not set any more. */
  readonly after?: unknown;
  /** What this change alone does. */
  readonly action: Exclude<Action, "create" | "destroy" | "forget">;
  /** Whether it is not known what it does, so that the action is a guess. */
  readonly unknown?: true;
  /** Why it does not do more, or when it does. */
  readonly note?: string;
}

/** What becomes of a resource. */
export interface ResourceChange {
  /** Its Terraform address. */
  readonly address: string;
  readonly action: Action;
  /** Whether it is created with something that the table of effects does not know. */
  readonly unknown?: boolean;
  /** The arguments that change by themselves; of one that is created or destroyed, none. */
  readonly arguments: readonly ArgumentChange[];
  /** All its arguments after, by path; of one that is destroyed, before. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The addresses of the resources because of whose change this one changes too. */
  readonly because: readonly string[];
  /** Why, in Terraform's words: `replace_because_tainted`. */
  readonly reason?: string;
  /** The address that it had before, where a `moved` block moves it. */
  readonly movedFrom?: string;
  /** The address from which it seems to be renamed: one that goes while an equal one appears. */
  readonly renamedFrom?: string;
}

/** A file that a machine gets, or gets no more. */
export interface CopyChange {
  /** The address of the copy. */
  readonly address: string;
  readonly file: string;
  readonly change: "added" | "removed" | "another mode" | "another source";
}

/** All that changes between two configurations. */
export interface Changes {
  /** Sorted by address. */
  readonly resources: readonly ResourceChange[];
  /** What files are copied to whom, where that changes. */
  readonly copies: readonly CopyChange[];
  /** Changes outside of resources: backend, providers, outputs, versions; by path. */
  readonly elsewhere: readonly ArgumentChange[];
}

/** The type of the resource at an address. */
export function typeOf(address: string): string {
  return address.split(".")[0] as string;
}
