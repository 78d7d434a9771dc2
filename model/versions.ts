import { holds, type Limit, mustBe } from "./formats";
import { UserError } from "./user-error";

/** The versions of everything that a cluster runs, without the `v` of tags. */
export interface ComponentVersions {
  readonly kubernetes: string;
  readonly etcd: string;
  readonly containerd: string;
  readonly runc: string;
  readonly cniPlugins: string;
  readonly coreDns: string;
  /** The image that holds the network namespace of a pod. */
  readonly pause: string;
  /** The image of the pods that check workers. Kubernetes' own tests use it too. */
  readonly agnhost: string;
}

/** The components whose version a person can choose, beside Kubernetes itself. */
export const COMPONENTS = ["etcd", "containerd", "runc", "cniPlugins", "coreDns"] as const;

/** Versions of components that a person chose. */
export type ChosenVersions = { readonly [C in (typeof COMPONENTS)[number]]?: string | undefined };

const OF_1_36 = {
  etcd: "3.6.14",
  containerd: "2.3.4",
  runc: "1.4.3",
  cniPlugins: "1.9.1",
  coreDns: "1.14.2",
  pause: "3.10.2",
  agnhost: "2.66.1",
};

/**
 * The versions that go together, by Kubernetes' minor version. `kubernetes` is the newest patch version that this project
 * knows; the others of the same minor version go with the same components.
 */
export const VERSIONS: Readonly<Record<string, ComponentVersions>> = {
  "1.35": { kubernetes: "1.35.10", ...OF_1_36 },
  "1.36": { kubernetes: "1.36.6", ...OF_1_36 },
  "1.37": {
    kubernetes: "1.37.2",
    etcd: "3.7.3",
    containerd: "2.4.2",
    runc: "1.5.2",
    cniPlugins: "1.9.1",
    coreDns: "1.15.0",
    pause: "3.10.2",
    agnhost: "2.66.1",
  },
};

/** The versions with which this project's own tests run. */
export const TESTED = VERSIONS["1.37"] as ComponentVersions;

/** A number of a version, without leading zeros. */
const NUMBER = "(0|[1-9][0-9]{0,4})";

const MINOR_VERSIONS = Object.keys(VERSIONS);

/** The format of a version of a component. */
export const COMPONENT_VERSION: Limit = {
  allowed: "a version of three numbers, such as 1.2.3, without v",
  pattern: new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}$`),
};

/** The format of a version of Kubernetes: a patch version of a minor version in {@link VERSIONS}. */
export const KUBERNETES_VERSION: Limit = {
  allowed: `a patch version of Kubernetes ${MINOR_VERSIONS.slice(0, -1).join(", ")} or ${MINOR_VERSIONS.at(-1)}, such as ${
    Object.values(VERSIONS).at(-1)?.kubernetes
  }`,
  pattern: new RegExp(`^(${MINOR_VERSIONS.join("|").replaceAll(".", "\\.")})\\.${NUMBER}$`),
};

/**
 * The versions of everything that a cluster runs.
 * @param options - `version` is a patch version of Kubernetes; `components` replaces versions of {@link VERSIONS}
 * @throws UserError if the version is not a {@link KUBERNETES_VERSION}
 */
export function componentVersions(options: {
  readonly version: string;
  readonly components?: ChosenVersions | undefined;
}): ComponentVersions {
  const { version, components = {} } = options;
  const row = VERSIONS[version.split(".").slice(0, 2).join(".")];
  if (row === undefined || !holds(KUBERNETES_VERSION, version))
    throw new UserError(mustBe("kubernetes.version", KUBERNETES_VERSION.allowed, version));
  const chosen = Object.entries(components).filter(([, value]) => value !== undefined);
  return { ...row, ...Object.fromEntries(chosen), kubernetes: version };
}
