import type { Configuration } from "./arguments";
import { goesTo, otherFiles } from "./own-files";
import { type CopiedFile, readDistribution } from "./provisioners";
import { otherCommands, stepOf } from "./steps";

type Files = ReadonlyMap<string, CopiedFile>;

/** Whether a file of a copy is a script or a systemd unit: its content is run. */
function isProgram([path, { mode }]: readonly [string, CopiedFile]): boolean {
  return !path.endsWith("/") && (mode === "0755" || /^(\/etc|\/run|\/usr\/lib|\/lib)\/systemd\//.test(path));
}

/** The scripts and units of a copy, and the paths of those that are not of this project. */
function programsOf(address: string, configuration: Configuration): { programs: Files; foreign: readonly string[] } {
  const files = readDistribution(configuration.get(address) ?? new Map())?.files ?? new Map();
  const programs = new Map([...files].filter(isProgram));
  return { programs, foreign: otherFiles(address, configuration).filter((path) => programs.has(path)) };
}

/**
 * The commands that the provisioners of a resource run: all but those that copy files, and but the steps of this project on the
 * machine of their name. The contents of scripts and units that are not of this project are commands too.
 * @param address - without keys of `count` and `for_each`
 */
export function foreignCommands(address: string, configuration: Configuration): unknown[] {
  const block = configuration.get(address) ?? new Map();
  const distribution = readDistribution(block);
  if (distribution === undefined) return [...block].filter(([path]) => path.startsWith("provisioner"));
  const { activate } = distribution;
  const step = stepOf(address);
  const { programs, foreign } = programsOf(address, configuration);
  return [
    ...(step !== undefined && goesTo(step.id, block, configuration) ? otherCommands(activate) : activate),
    ...foreign.map((path) => [path, programs.get(path)?.content]),
  ];
}

/**
 * Whether the content of a script or unit changes. A unit of this project may change with a setting, from one of this project's
 * contents to another.
 */
export function changesProgram(address: string, before: Configuration, after: Configuration): boolean {
  const [one, other] = [programsOf(address, before), programsOf(address, after)];
  return [...other.programs].some(
    ([path, { content }]) =>
      one.programs.has(path) &&
      one.programs.get(path)?.content !== content &&
      (one.foreign.includes(path) || other.foreign.includes(path)),
  );
}
