/** Every route that there is. */
import type { Route } from '../route.ts';
import { auditRoutes } from './audit.ts';
import { cameraRoutes } from './cameras.ts';
import { configurationRoutes } from './configuration.ts';
import { healthRoutes } from './health.ts';
import { inventoryRoutes } from './inventory.ts';
import { loginRoutes } from './login.ts';
import { metaRoutes } from './meta.ts';
import { userRoutes } from './users.ts';

export const ROUTES: readonly Route[] = [...metaRoutes, ...loginRoutes, ...inventoryRoutes, ...cameraRoutes, ...healthRoutes, ...configurationRoutes, ...auditRoutes, ...userRoutes];
