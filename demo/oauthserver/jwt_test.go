package oauthserver

import (
	"testing"
	"time"
)

func TestIDTokenIsSigned(t *testing.T) {
	a, err := readAssertion(idToken("client", &grant{mailbox: "bob@gmail.com"}, time.Now(), time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !a.signedBy(&idTokenKey().PublicKey, "RS256") || a.claims.Aud != "client" || a.claims.Iss != "https://accounts.google.com" {
		t.Errorf("claims %+v, or a signature that is not valid", a.claims)
	}
}

func FuzzReadAssertion(f *testing.F) {
	f.Add("e30.e30.")
	f.Add("eyJhbGciOiJub25lIn0.eyJleHAiOjFlMzA5fQ.AA")
	f.Add(signJWT(idTokenKey(), "k", map[string]any{"iss": "a", "exp": 1e300, "iat": -1}))
	f.Fuzz(func(t *testing.T, compact string) {
		a, err := readAssertion(compact)
		if err != nil {
			return
		}
		if a.signedBy(&serviceAccountKey().PublicKey, "RS256", "PS256") {
			t.Error("a signature of another key is valid")
		}
		a.timely(a.claims.Iat, time.Now())
	})
}
