//! tenant_walls
