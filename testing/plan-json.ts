import { createHash } from "node:crypto";
import type { Block } from "../cloud/terraform-json";
import { references } from "../review/arguments";
import type { Action } from "../review/changes";
import { compare, type Document } from "../review/compare";

// The JSON of plans, as `terraform show -json` prints them for a synthesized document.

/** The plan of a synthesized cluster in which all copies are made for the first time. */
export function installationPlan(document: Document): string {
  const copies = blocksOf(document).filter(({ type }) => type === "null_resource");
  const change = { actions: ["create"], before: null, after: {}, after_unknown: {} };
  return planJson(
    document,
    copies.map(({ address, type }) => ({ address, type, mode: "managed", change })),
  );
}

/** Terraform's actions for those of a comparison. */
const ACTIONS: Readonly<Record<Action, readonly string[]>> = {
  create: ["create"],
  destroy: ["delete"],
  forget: ["forget"],
  replace: ["delete", "create"],
  restart: ["update"],
  update: ["update"],
  "clean-up": ["delete"],
  none: ["no-op"],
};

/** The plan that leads from one synthesized cluster to another. Of the values, it has only triggers and instance types. */
export function planBetween(before: Document, after: Document): string {
  const changes = compare(before, after).resources.filter(({ action }) => action !== "none");
  const isMade = (address: string) =>
    changes.some((each) => each.address === address && ["create", "replace"].includes(each.action));
  const [existing, wanted] = [before, after].map((document) => {
    return new Map(blocksOf(document).map(({ address, block }) => [address, block]));
  }) as [Map<string, Block>, Map<string, Block>];
  return planJson(
    after,
    changes.map(({ address, type, action }) => {
      const own = Object.entries<string>(wanted.get(address)?.triggers ?? {});
      const isUnknown = ([, value]: [string, string]) => references(value).some((each) => isMade(each.address));
      const known = Object.fromEntries(
        own.filter((each) => !isUnknown(each)).map(([name, value]) => [name, planned(value)]),
      );
      const unknown = Object.fromEntries(own.filter(isUnknown).map(([name]) => [name, true]));
      const instanceType = (block?: Block) => block?.instance_type && { instance_type: block.instance_type };
      const triggers = Object.entries<string>(existing.get(address)?.triggers ?? {});
      const change = {
        actions: ACTIONS[action],
        before:
          action === "create"
            ? null
            : {
                ...instanceType(existing.get(address)),
                triggers: Object.fromEntries(triggers.map(([name, value]) => [name, planned(value)])),
              },
        after: action === "destroy" ? null : { ...instanceType(wanted.get(address)), triggers: known },
        after_unknown: action === "destroy" ? {} : { id: true, triggers: unknown },
        ...(action === "replace" && { replace_paths: [["triggers"]] }),
      };
      return { address, type, mode: "managed", change };
    }),
  );
}

/** The value of a trigger in a state: a text, a hash, or ids. */
function planned(value: string): string {
  if (value.startsWith("$" + "{sha256(")) return createHash("sha256").update(value).digest("hex");
  return references(value).length === 0
    ? value
    : references(value)
        .map((_each, index) => 7_000_000 + index)
        .join(" ");
}

function blocksOf(document: Document) {
  return Object.entries(document.resource ?? {}).flatMap(([type, byName]) =>
    Object.entries(byName as Record<string, Block>).map(([name, block]) => ({
      type,
      address: `${type}.${name}`,
      block,
    })),
  );
}

/** A plan with these changes. Terraform keeps JSON's expressions as they are. */
function planJson(document: Document, changes: readonly object[]): string {
  const constants = (values: object) =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { constant_value: value }]));
  const resources = blocksOf(document).map(({ type, address, block }) => {
    const { provisioner, connection: _, depends_on, "//": _notes, ...others } = block;
    return {
      address,
      mode: "managed",
      type,
      expressions: constants(others),
      depends_on,
      provisioners: (provisioner ?? []).flatMap((each: Record<string, Block>) =>
        Object.entries(each).map(([type, { connection: _hidden, ...values }]) => ({
          type,
          expressions: constants(values),
        })),
      ),
    };
  });
  return JSON.stringify({
    format_version: "1.2",
    resource_changes: changes,
    configuration: { root_module: { resources } },
  });
}
