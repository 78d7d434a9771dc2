/**
 * A command of this project, as its user types it for the same cluster: `npm run deploy`, or `npm run cloud -- deploy` for a cluster
 * in the emulated cloud, whose programs have the variable {@link IN_CLOUD}.
 * @param command - the name of the npm script, and its arguments
 */
export function npmRun(command: string): string {
  return process.env[IN_CLOUD] === undefined ? `npm run ${command}` : `npm run cloud -- ${command}`;
}

/** The environment variable of programs that `npm run cloud` starts. */
export const IN_CLOUD = "CLUSTER_IN_CLOUD";
