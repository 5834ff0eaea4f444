package store

import "time"

// The fixtures of the tests that need a vault over this store, which live in
// package store_test since the vault imports this package.
type Wire = wire

var (
	FreshPostgres = freshPostgres
	NewSeal       = newSeal
	NewWire       = newWire
	OpenTestStore = openPostgres
)

// SetDown takes the database away or gives it back.
func (w *wire) SetDown(down bool) { w.setDown(down) }

// URL is where the wire takes connections.
func (w *wire) URL() string { return w.url }

// SetWriteTime bounds one write.
func (s *Postgres) SetWriteTime(d time.Duration) { s.writeTime = d }
