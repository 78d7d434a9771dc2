/** Stands in for cdktf's and constructs' recorder of call stacks, which tests do not look at. */
export function captureStackTrace(): string[] {
  return [];
}

/** The same, by the name that cdktf's continuation has for it. */
export const captureCreationStack = captureStackTrace;
