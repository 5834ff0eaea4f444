package tokens

import (
	"context"
	"strings"
	"testing"
	"time"

	"authferry/internal/hint"
	"authferry/tokens/oauth"
)

func TestConnect(t *testing.T) {
	r := newRig(t)
	google := []string{"https://mail.google.com/"}
	microsoft := oauth.Builtin()["microsoft"].Scopes
	now := time.Now()
	for name, c := range map[string]struct {
		asked, granted []string
		change         func(*oauth.Token)
		says           string
	}{
		"as asked":                {google, google, nil, ""},
		"scopes not said":         {google, nil, nil, ""},
		"more than asked":         {google, []string{"openid", "https://mail.google.com/"}, nil, ""},
		"without the slash":       {google, []string{"https://mail.google.com"}, nil, ""},
		"Microsoft":               {microsoft, []string{"https://outlook.office365.com/imap.accessasuser.all", "POP.AccessAsUser.All", "https://outlook.office.com/SMTP.Send"}, nil, ""},
		"sign-in scopes not said": {append([]string{"openid", "email"}, google...), google, nil, ""},
		"mail not ticked":         {google, []string{"openid", "email"}, nil, "https://mail.google.com/"},
		"a narrower one":          {google, []string{"https://www.googleapis.com/auth/gmail.modify"}, nil, "tick its box"},
		"no SMTP":                 {microsoft, microsoft[:2], nil, "SMTP.Send"},
		"no refresh token":        {google, google, func(t *oauth.Token) { t.Refresh = "" }, "prompt=consent"},
		"no access token":         {google, google, func(t *oauth.Token) { t.Access = "" }, "no access token"},
	} {
		t.Run(name, func(t *testing.T) {
			r.provider.Scopes = c.asked
			before := r.account()
			token := &oauth.Token{Access: "a-CANARY", Refresh: "r-CANARY", Minted: now, Expiry: now.Add(time.Hour), Scopes: c.granted}
			if c.change != nil {
				c.change(token)
			}
			err := r.Connect(context.Background(), Connection{Mailbox: "ME%40gmail.com ", Provider: "fake", Token: token})
			if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY")) {
				t.Errorf("%v; want %q", err, c.says)
			}
			after := r.account()
			if err != nil {
				sameAccount(t, after, before)
			} else if after.Token.Refresh != "r-CANARY" || len(after.Passwords) != 1 || !after.Created.Equal(before.Created) || !after.Connected.After(before.Connected) {
				t.Errorf("%+v", after)
			}
		})
	}
	if err := r.Connect(context.Background(), Connection{Mailbox: "me", Provider: "fake", Token: &oauth.Token{Access: "a", Refresh: "r"}}); err == nil || !strings.Contains(hint.Of(err), "you@example.com") {
		t.Errorf("no address: %v", err)
	}
	if err := r.Connect(context.Background(), Connection{Mailbox: me, Provider: "other", Token: &oauth.Token{Access: "a", Refresh: "r"}}); err == nil || !strings.Contains(err.Error(), "[provider.other]") {
		t.Errorf("no provider: %v", err)
	}
}
