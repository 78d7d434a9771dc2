import { KUBERNETES_INSTANCE_TYPE } from "../model/instance-types";
import { ANYWHERE } from "../model/ports";
import type { ClusterSettings } from "./schema";

/** Every value of the tutorial's cluster. */
export const TUTORIAL: ClusterSettings = {
  name: "k8s-cluster-from-ground-up",
  region: "eu-central-1",
  network: { cidrBlock: "172.31.0.0/16", subnets: [{ cidrBlock: "172.31.0.0/24" }] },
  podNetwork: { cidrBlock: "172.20.0.0/16", routed: true },
  serviceNetwork: { cidrBlock: "172.32.0.0/24" },
  controlPlane: { count: 3, instanceType: "t2.micro", firstHostNumber: 10 },
  workers: { count: 3, instanceType: "t2.micro", firstHostNumber: 20 },
  copies: { kubeconfigs: false, encryptionConfig: false },
  image: { release: "noble" },
  access: { ssh: [ANYWHERE], api: [ANYWHERE], icmp: [ANYWHERE] },
  pki: {
    subject: {
      country: "UK",
      province: "London",
      locality: "England",
      organization: "Kubernetes",
      organizationalUnit: "DAREY.IO DEVOPS",
    },
    caValidityHours: 43800,
    validityHours: 8760,
    earlyRenewalHours: 0,
  },
  tags: {},
  backend: { type: "local" },
};

/** The defaults that differ if the user's settings have `kubernetes`. */
const WITH_KUBERNETES = {
  controlPlane: { instanceType: KUBERNETES_INSTANCE_TYPE },
  workers: { instanceType: KUBERNETES_INSTANCE_TYPE },
};

/** Settings that exclude each other. The user's choice replaces the preset's. */
const ALTERNATIVES = { image: ["release", "namePattern", "id"] };

/**
 * Fills the user's settings with the missing values of a preset: objects key by key, lists as a whole. The result is not
 * checked: keys that the preset does not have stay, and the schema refuses them.
 */
export function withPreset(preset: ClusterSettings, input: unknown): unknown {
  const given = isObject(input) ? input : {};
  const base = merge(preset, given.kubernetes === undefined ? {} : WITH_KUBERNETES) as Record<string, unknown>;
  for (const [group, names] of Object.entries(ALTERNATIVES)) {
    const chosen = given[group];
    if (!isObject(chosen) || names.every((name) => chosen[name] === undefined)) continue;
    base[group] = Object.fromEntries(Object.entries(base[group] as object).filter(([name]) => !names.includes(name)));
  }
  return merge(base, input);
}

function merge(base: unknown, input: unknown): unknown {
  if (input === undefined) return base;
  if (!isObject(base) || !isObject(input)) return input;
  const keys = [...new Set([...Object.keys(base), ...Object.keys(input)])];
  return Object.fromEntries(
    keys.map((key) => [key, merge(Object.hasOwn(base, key) ? base[key] : undefined, input[key])]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
