package tokens

import (
	"context"
	"errors"
	"testing"

	"authferry/tokens/oauth"
)

func TestAuthorizeTrusted(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	trust := Trust{Mailbox: "ME@gmail.com", Name: "second floor", Rules: PasswordRules{MessagesPerHour: 1, Recipients: 2}}
	g, err := r.AuthorizeTrusted(ctx, trust)
	if err != nil || g.Mailbox != me || g.User != me || g.Password != trust.Rules || !r.endpoint.Use(g.AccessToken) {
		t.Fatalf("%+v, %v", g, err)
	}
	if g.PasswordName != "second floor (trusted network)" {
		t.Errorf("named %q", g.PasswordName)
	}
	if unnamed, err := r.AuthorizeTrusted(ctx, Trust{Mailbox: me}); err != nil || unnamed.PasswordName != "(trusted network)" {
		t.Errorf("%+v, %v", unnamed, err)
	}
	again, err := r.AuthorizeTrusted(ctx, trust)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := r.BeginMessage(g); m == nil {
		t.Error("no place for a message")
	}
	if m, _ := r.BeginMessage(again); m != nil {
		t.Error("another session of the same table has an hour of its own")
	}
	if renewed, err := r.Renew(ctx, g); err != nil || !renewed.Trusted || renewed.PasswordID != g.PasswordID {
		t.Errorf("renewed: %+v, %v", renewed, err)
	}
	if r.Revoked(ctx, g) {
		t.Error("revoked, though there is no password to revoke")
	}
	if _, err := r.Remove(ctx, me, Removal{KeepGrant: true, KeepPasswords: true}); err != nil {
		t.Fatal(err)
	}
	if !r.Revoked(ctx, g) {
		t.Error("a removed mailbox keeps its session")
	}
	for _, mailbox := range []string{me, "nobody@example.com"} {
		_, err := r.AuthorizeTrusted(ctx, Trust{Mailbox: mailbox})
		if advice, ok := oauth.AdviceOf(err); !errors.Is(err, oauth.ErrNeedsConsent) || !ok || advice.Fix != "run authferry connect "+mailbox {
			t.Errorf("%s: %v, %+v", mailbox, err, advice)
		}
	}
}
