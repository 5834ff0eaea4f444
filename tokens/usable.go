package tokens

import "context"

// Usable reports whether the store can be read and written now: a token that is
// refreshed has to be written down, or it may be lost.
func (v *Vault) Usable(ctx context.Context) error { return v.store.Usable(ctx) }
