/** Defines a test for each step. Steps build on those before them: after a failed step, the others fail without a run. */
export function story(steps: Readonly<Record<string, () => Promise<void>>>): void {
  let failed: string | undefined;
  for (const [name, step] of Object.entries(steps)) {
    test(name, async () => {
      if (failed !== undefined) throw new Error(`not run, because an earlier step failed: ${failed}`);
      failed = name;
      await step();
      failed = undefined;
    });
  }
}
