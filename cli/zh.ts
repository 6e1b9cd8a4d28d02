export const ZH: Readonly<Record<string, string>> = {};
