/** `debug` of npm, silent. */
const silent = (): void => {};
export const debug = (): (() => void) => silent;
