import { isDeepStrictEqual } from "node:util";
import { leafChanges, withoutKeys } from "./arguments";
import type { ArgumentChange, ResourceChange } from "./changes";
import { stepOf } from "./steps";

/** The triggers of this project's steps that are hashes, by the things that have changed if they change. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ["triggers.files", "files or commands"],
  ["triggers.config", "scripts, units, configuration or commands"],
  ["triggers.certificates", "certificates, keys or kubeconfigs"],
]);

/** The triggers of this project's steps that are ids of machines and of other steps. */
const IDS = ["triggers.machine", "triggers.copies", "triggers.steps"];

/** A hash or an id, and an expression of one. */
const OPAQUE = /^([0-9a-f]{64}|[\d ]+|i-[0-9a-f]+|\(known after apply\)|\$\{(sha256|join)\(.*\)\}|\$\{[\w.-]+\.id\})$/s;

function isOpaque(value: unknown): boolean {
  return value === undefined || (typeof value === "string" && OPAQUE.test(value));
}

/** A change of a step with a row for each trigger. Hashes have words, and ids have no rows. */
export function withReadableTriggers(change: ResourceChange): ResourceChange {
  if (stepOf(withoutKeys(change.address)) === undefined) return change;
  const isHidden = (path: string, ...values: unknown[]) =>
    (IDS.includes(path) || HASHES.has(path)) && values.every(isOpaque);
  return {
    ...change,
    settings: Object.fromEntries(Object.entries(change.settings).filter(([path, value]) => !isHidden(path, value))),
    arguments: change.arguments.flatMap((argument) => {
      if (!/^triggers(\.|$)/.test(argument.path) || argument.unknown === true) return [argument];
      return leafChanges(argument.path, argument.before ?? undefined, argument.after ?? undefined).flatMap(
        (leaf): ArgumentChange[] => {
          const { path, before, after } = leaf;
          if (isDeepStrictEqual(before, after)) return [];
          if (!isHidden(path, before, after)) return [{ ...argument, ...leaf }];
          return IDS.includes(path) ? [] : [{ path, action: argument.action, note: HASHES.get(path) }];
        },
      );
    }),
  };
}
