package tokens

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"authferry/internal/atomicfile"
	"authferry/tokens/oauth"
)

// TestFullDisk: a new token that cannot be written is neither used nor lost, and is
// written before anything else once there is room.
func TestFullDisk(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	before := r.account().Token
	for range 3 {
		r.want(oauth.ErrUnavailable, "no space left")
	}
	r.wantCalls(1)
	if r.account().Token.Access != before.Access {
		t.Fatal("half a write")
	}
	atomicfile.Disk = whole
	g := r.mustAuthorize()
	r.wantCalls(1)
	if !r.endpoint.Use(g.AccessToken) || r.account().Token.Access != g.AccessToken || r.account().Token.Refresh == before.Refresh {
		t.Error("the token that could not be written was lost")
	}
	r.age(0)
	if !r.endpoint.Use(r.mustAuthorize().AccessToken) {
		t.Error("the refresh token that could not be written was lost")
	}
}

// TestFullDiskForLong: if the token expires before there is room, the next refresh
// uses its refresh token.
func TestFullDiskForLong(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	r.want(oauth.ErrUnavailable, "no space left")
	r.clock.Advance(2 * time.Hour)
	r.want(oauth.ErrUnavailable, "no space left")
	atomicfile.Disk = whole
	if g := r.mustAuthorize(); !r.endpoint.Use(g.AccessToken) {
		t.Error("the grant was lost")
	}
	r.wantCalls(2)
	if a := r.account(); a.Dead != nil {
		t.Errorf("dead: %+v", a.Dead)
	}
}

// TestFullDiskUntilClose: Close writes the token that could not be written.
func TestFullDiskUntilClose(t *testing.T) {
	r := newRig(t)
	r.endpoint.Rotate = true
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	r.want(oauth.ErrUnavailable, "no space left")
	before := r.account().Token.Refresh
	atomicfile.Disk = whole
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r.account().Token.Refresh == before {
		t.Error("the token was lost")
	}
	r.age(0)
	r.want(oauth.ErrUnavailable, "shutting down")
}

// TestFullDiskAndConnectedAgain: the token that could not be written does not
// overwrite a new grant.
func TestFullDiskAndConnectedAgain(t *testing.T) {
	r := newRig(t)
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	r.want(oauth.ErrUnavailable, "no space left")
	atomicfile.Disk = whole
	granted := r.endpoint.Grant()
	cli := NewVault(openStore(t, r.dir), Settings{Providers: map[string]*oauth.Provider{"fake": r.provider}}, nil)
	defer cli.Close(context.Background())
	if err := cli.Connect(context.Background(), Connection{Mailbox: me, Provider: "fake", Token: &oauth.Token{Access: "a2", Refresh: granted, Minted: time.Now().Add(-time.Hour), Expiry: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	r.mustAuthorize()
	if r.account().Token.Refresh != granted {
		t.Error("an old grant took the place of a new one")
	}
}

// TestFullDiskAndAnotherProvider: a token that could not be written is not used for
// another provider, even without refresh tokens to distinguish grants.
func TestFullDiskAndAnotherProvider(t *testing.T) {
	r := newRig(t)
	p := r.workspace()
	second := *p
	second.Name = "second"
	settings := Settings{Providers: map[string]*oauth.Provider{"workspace": p, "second": &second}}
	r.Configure(settings)
	if err := r.Connect(t.Context(), Connection{Mailbox: me, Provider: "workspace"}); err != nil {
		t.Fatal(err)
	}
	whole := atomicfile.Disk
	defer func() { atomicfile.Disk = whole }()
	atomicfile.Disk.Write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	r.want(oauth.ErrUnavailable, "no space left")
	atomicfile.Disk = whole
	cli := NewVault(openStore(t, r.dir), settings, nil)
	defer cli.Close(t.Context())
	if err := cli.Connect(t.Context(), Connection{Mailbox: me, Provider: "second"}); err != nil {
		t.Fatal(err)
	}
	calls := r.endpoint.Asked()
	r.mustAuthorize()
	r.wantCalls(calls + 1)
}
