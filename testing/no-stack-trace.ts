/** Replaces the function of cdktf and constructs that records call stacks. Tests do not read them. */
export function captureStackTrace(): string[] {
  return [];
}

/** The same function, by another name of cdktf's. */
export const captureCreationStack = captureStackTrace;
