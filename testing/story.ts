/**
 * Defines a test for each step. With the variable SHOW_STEPS, each step prints its seconds at its end. Steps build on those before
 * them: after a failed step, the others fail without a run.
 * @param options.needs - the number of steps on which all others build. Those others do not build on each other, and run if
 *   these passed. @default - all
 */
export function story(
  steps: Readonly<Record<string, () => Promise<void>>>,
  { needs = Number.POSITIVE_INFINITY }: { readonly needs?: number } = {},
): void {
  let failed: string | undefined;
  for (const [index, [name, step]] of Object.entries(steps).entries()) {
    test(name, async () => {
      if (failed !== undefined) throw new Error(`not run, because an earlier step failed: ${failed}`);
      if (index < needs) failed = name;
      const begin = Date.now();
      await step();
      if (process.env.SHOW_STEPS) process.stderr.write(`${((Date.now() - begin) / 1000).toFixed(1)} s: ${name}\n`);
      failed = undefined;
    });
  }
}
