#!/usr/bin/env node
/** `node scripts/media/main.ts`: makes the test footage and prints where it is. */
import { cacheDirectory, prepareFootage } from './footage.ts';

const footage = await prepareFootage();
const note = footage[0]?.note;
if (note !== undefined) console.error(note);
console.log(`footage from ${footage[0]?.source} in ${cacheDirectory()}`);
for (const each of footage) console.log(`  ${each.name}: ${[each.videoPath, each.audioPath].filter(path => path !== undefined).join(' + ')}`);
