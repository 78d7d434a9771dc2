import { NEXT_PROGRAMS_TABLE, SCRIPTS_FOLDER } from "../kubernetes/machine";
import { IMAGE_NAMES, image, imageTag } from "../kubernetes/releases";
import type { NodeRole } from "../model/names";
import { type Configuration, once } from "./arguments";
import { type Changes, changedLeaves, type ResourceChange } from "./changes";
import { plainContent } from "./contents";
import { ANY_VERSION, type ReleaseLine, releaseLines, releasesLike } from "./own-files";
import { type CopiedFile, readDistribution } from "./provisioners";
import { machinesOf } from "./siblings";
import { stepOf } from "./steps";
import { expressionsOf } from "./templates";

type Files = ReadonlyMap<string, CopiedFile>;

/** The installation of Kubernetes on a machine, as the copies of a configuration have it. */
interface Installation {
  readonly id: string;
  readonly role: NodeRole;
  /** The address of the step that restarts programs. */
  readonly address: string;
  readonly files: Files;
  readonly releases: readonly ReleaseLine[];
  /** The values of each key in the facts that the scripts of the machine read. */
  readonly facts: ReadonlyMap<string, readonly string[]>;
}

/** The installations of a configuration, by the id of the machine. */
const installationsOf = once((configuration: Configuration): ReadonlyMap<string, Installation> => {
  const steps = [...configuration].flatMap(([address, block]) => {
    const step = stepOf(address);
    return step === undefined ? [] : [{ ...step, address, files: readDistribution(block)?.files ?? new Map() }];
  });
  const byMachine = new Map(steps.map(({ id }) => [id, [] as typeof steps]));
  for (const step of steps) byMachine.get(step.id)?.push(step);
  return new Map(
    steps
      .filter(({ kind }) => kind === "kubernetes")
      .map(({ id, role, address }) => {
        const files: Files = new Map((byMachine.get(id) ?? []).flatMap((step) => [...step.files]));
        const facts = new Map<string, string[]>();
        for (const line of plainContent(files.get(`${SCRIPTS_FOLDER}/facts`)?.content)?.split("\n") ?? []) {
          const [, key = "", value = ""] = /^([^=]*)=(.*)$/.exec(line) ?? [];
          facts.set(key, [...(facts.get(key) ?? []), value]);
        }
        return [
          id,
          { id, role, address, files, facts, releases: releaseLines(files.get(NEXT_PROGRAMS_TABLE)) },
        ] as const;
      }),
  );
});

/** The programs that the apply restarts on a machine that exists before and after. */
export interface Restart {
  /** The address of the step that restarts them. */
  readonly address: string;
  readonly id: string;
  readonly role: NodeRole;
  readonly programs: readonly string[];
}

/**
 * The programs that a change restarts: those that read a changed file, or have another version. A plan has no files before, so
 * it has none.
 */
export const restarts = once(({ resources, before, after }: Changes): readonly Restart[] => {
  if (before === undefined || after === undefined) return [];
  const actions = new Map(resources.map(({ address, action }) => [address, action]));
  const existing = installationsOf(before);
  return [...installationsOf(after).values()].flatMap((installation) => {
    const { id, role, address, files, facts } = installation;
    const earlier = existing.get(id);
    const machine = machinesOf(after).get(id)?.address ?? "";
    const isStep = actions.get(address) === "replace" && actions.get(machine) !== "replace";
    if (earlier === undefined || !isStep) return [];
    const isChanged = (path: string) => {
      const [one, other] = [earlier, installation].map(({ releases }) => versionOf(path, releases));
      if (one !== undefined || other !== undefined) return one !== other;
      const content = files.get(path)?.content;
      const sources = referredIn(content).map((source) => actions.get(source));
      return content !== earlier.files.get(path)?.content || sources.includes("replace");
    };
    const programs = [...facts].flatMap(([key, paths]) => {
      const [, unit] = /^reads-(.+)$/.exec(key) ?? [];
      const isOther = paths.join() !== earlier.facts.get(key)?.join();
      return unit !== undefined && (isOther || paths.some(isChanged)) ? [unit] : [];
    });
    return programs.length === 0 ? [] : [{ address, id, role, programs }];
  });
});

/** The addresses of resources to which a content refers. */
function referredIn(content: unknown): string[] {
  const codes = expressionsOf(String(content)).join(" ");
  return [...codes.matchAll(/(?<![\w.-])([a-z]+_\w+\.[\w-]+)\.\w/g)].map(([, address]) => address as string);
}

/** The version of the release that has the program at a path. */
function versionOf(path: string, releases: readonly ReleaseLine[]): string | undefined {
  const [, name = ""] = /^\/usr\/local\/bin\/([^/]+)$/.exec(path) ?? [];
  return releases.find(({ programs }) => programs.includes(name))?.version;
}

/** The version of a program or an image on a machine, before and after a change. */
export interface VersionChange {
  readonly id: string;
  readonly program: string;
  readonly before?: string;
  readonly after: string;
}

/**
 * The versions that change, or that a plan installs. A new machine counts if no other machine of its role has the version. A plan
 * has no files before: then, the triggers of a machine's step have the versions before.
 */
export const versionChanges = once(({ resources, before, after = new Map() }: Changes): readonly VersionChange[] => {
  const existing = installationsOf(before ?? new Map());
  const made = new Map(
    resources.flatMap((change) => (["create", "replace"].includes(change.action) ? [[change.address, change]] : [])),
  );
  return [...installationsOf(after).values()].flatMap((installation) => {
    const { id, role, address } = installation;
    const step = made.get(address);
    if (before === undefined && step === undefined) return [];
    const earlier = existing.get(id);
    const siblings = [...existing.values()].filter((each) => each.role === role);
    return [...versions(installation)].flatMap(([program, version]): VersionChange[] => {
      const one =
        earlier === undefined
          ? before === undefined && versionInTriggers(step, program)
          : versions(earlier).get(program);
      const isKnown = earlier === undefined && siblings.some((each) => versions(each).get(program) === version);
      return one === version || isKnown ? [] : [{ id, program, before: one || undefined, after: version }];
    });
  });
});

/** The triggers of a step that are versions, by the names of programs. */
const VERSION_TRIGGERS: readonly (readonly [program: RegExp, trigger: string])[] = [
  [/^kube[\w-]+$/, "kubernetes"],
  [/^etcd$/, "etcd"],
  [/^containerd$/, "containerd"],
];

/** The version of a program before the change of a step, as its triggers have it. */
function versionInTriggers(step: ResourceChange | undefined, program: string): string | undefined {
  const [, trigger] = VERSION_TRIGGERS.find(([pattern]) => pattern.test(program)) ?? [];
  const version = step && changedLeaves(step).find(({ path }) => path === `triggers.${trigger}`)?.before;
  return typeof version === "string" ? version : undefined;
}

function versions({ releases, facts }: Installation): ReadonlyMap<string, string> {
  const images = (facts.get("image") ?? []).map((each) => {
    const [, name = each, tag = ""] = /^([^@]*):([^:@]+)(?:@.*)?$/.exec(each) ?? [];
    return [name, tag] as const;
  });
  return new Map([...releases.map(({ name, version }) => [name, version] as const), ...images]);
}

/**
 * The addresses other than those of the projects from which a machine gets programs and images, and the sums other than the known
 * ones, in words.
 * @param address - of a copy, without keys of `count` and `for_each`
 */
export function sourcesOf(address: string, configuration: Configuration): string[] {
  const { role = "worker" } = stepOf(address) ?? {};
  const files = readDistribution(configuration.get(address) ?? new Map())?.files ?? new Map<string, CopiedFile>();
  const lines = releaseLines(files.get(NEXT_PROGRAMS_TABLE));
  const known = releasesLike(role, lines);
  const fromTable = lines.flatMap(({ name, version, sum, url }) => {
    const release = known.find((each) => each.name === name);
    if (release === undefined) return [url];
    const base = url.endsWith(`/${release.path}`) ? url.slice(0, -release.path.length - 1) : url;
    return [
      ...(url === release.url ? [] : [base]),
      ...(release.sha256 === undefined || sum === release.sha256 ? [] : [`${name} ${version} with the sum ${sum}`]),
    ];
  });
  const fromFiles = [...files].flatMap(([path, { content }]) => {
    const text = plainContent(content) ?? "";
    const [, registry] = /^\/etc\/containerd\/certs\.d\/([^/]+)\/hosts\.toml$/.exec(path) ?? [];
    const mirrors = registry === undefined ? [] : [...text.matchAll(/^\[host\.'(.*)'\]$/gm)].map(([, host]) => host);
    return [...mirrors.map((mirror) => `${registry} from ${mirror}`), ...otherImages(text)];
  });
  return [...new Set([...fromTable, ...fromFiles])];
}

/** The sources of all copies of a configuration. */
export const allSources = once((configuration: Configuration): ReadonlySet<string> => {
  return new Set([...configuration.keys()].flatMap((address) => sourcesOf(address, configuration)));
});

/** The images in a text that have another digest than the known one, or none instead of it. */
function otherImages(text: string): string[] {
  return IMAGE_NAMES.flatMap((name) => {
    const [before = "", after = ""] = imageTag(name, ANY_VERSION).split(ANY_VERSION.pause);
    const pattern = new RegExp(String.raw`${before.replaceAll(".", "\\.")}(\d+\.\d+\.\d+)${after}(@[\w:]+)?`, "g");
    return [...text.matchAll(pattern)].flatMap(([found, version = ""]) => {
      const same = Object.fromEntries(Object.keys(ANY_VERSION).map((key) => [key, version])) as typeof ANY_VERSION;
      const known = image(name, same);
      return known.includes("@") && found !== known ? [found] : [];
    });
  });
}
