/** The steps of a story, each a test that builds on those before it: after one has failed, the rest are not tried. */
export function story(steps: Readonly<Record<string, () => Promise<void>>>): void {
  let failed: string | undefined;
  for (const [name, step] of Object.entries(steps)) {
    test(name, async () => {
      if (failed !== undefined) throw new Error(`not tried, since this failed: ${failed}`);
      failed = name;
      await step();
      failed = undefined;
    });
  }
}
