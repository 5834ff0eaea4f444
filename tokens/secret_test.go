package tokens

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/oauthtest"
	"authferry/tokens/store"
)

// TestNothingPrintsSecrets: a value that is printed, encoded or logged by mistake
// reveals no secret.
func TestNothingPrintsSecrets(t *testing.T) {
	const word = "CANARY"
	f := oauthtest.NewEndpoint(t)
	p := fakeProvider(f)
	a := wholeAccount(me)
	a.Token.Access, a.Token.Refresh = "access-"+word, "refresh-"+word
	a.Passwords = []store.Password{{ID: "1", Key: "key-" + word, Hash: "hash-" + word, Argon2: "argon-" + word}}
	login := Login{User: me, Password: "password-" + word}
	grant := Grant{Mailbox: me, AccessToken: "access-" + word, Provider: p}
	for _, v := range []any{
		secret.String("secret-" + word), a, *a, a.Token, a.Passwords, a.Passwords[0], p, *p, login, &login, grant, &grant,
		PasswordSpec{Preset: "preset-" + word}, []secret.String{word}, map[string]secret.String{"x": word},
		map[string]*oauth.Provider{"x": p}, []*store.Account{a}, []*Grant{&grant}, struct{ L *Login }{&login}, &Settings{Providers: map[string]*oauth.Provider{"x": p}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
			args := []any{v}
			if strings.HasPrefix(verb, "%T") {
				args = append(args, v)
			}
			check(t, fmt.Sprintf("%T with %s", v, verb), fmt.Sprintf(verb, args...))
		}
		b, _ := json.Marshal(v)
		check(t, fmt.Sprintf("%T as JSON", v), string(b))
		b, _ = xml.Marshal(v)
		check(t, fmt.Sprintf("%T as XML", v), string(b))
		var out bytes.Buffer
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
		log.Info("x", zap.Any("v", v), zap.Reflect("r", v))
		log.Sugar().Infow("x", "v", v)
		log.Sugar().Infof("%v %+v", v, v)
		check(t, fmt.Sprintf("%T in the log", v), out.String())
	}
}

func check(t *testing.T, what, text string) {
	t.Helper()
	hex := fmt.Sprintf("%x", "CANARY")
	if strings.Contains(text, "CANARY") || strings.Contains(strings.ToLower(text), hex) || strings.Contains(text, "67 65 78 65 82 89") {
		t.Errorf("%s tells a secret: %s", what, text)
	}
}

// TestEndpointRepeatsSecrets: what an endpoint repeats of a request, as it is or
// escaped, does not get into errors, logs or the store.
func TestEndpointRepeatsSecrets(t *testing.T) {
	for _, status := range []int{200, 400, 401, 429, 500} {
		for _, code := range []string{"invalid_grant", "invalid_client", "odd", ""} {
			r := newRig(t)
			r.endpoint.Does(func(w http.ResponseWriter, req *http.Request) bool {
				req.ParseForm()
				w.WriteHeader(status)
				told := req.PostForm.Encode() + fmt.Sprint(req.PostForm)
				json.NewEncoder(w).Encode(map[string]string{"error": code + req.PostForm.Get("refresh_token"), "error_description": told, "error_subtype": told})
				return true
			})
			if _, err := r.authorize(); err == nil {
				t.Errorf("%d %q: no error", status, code)
			}
			r.account()
			r.endpoint.Answers(status, "<html>CANARY</html>")
			r.clock.Advance(time.Hour)
			r.authorize()
			r.account()
			// A wrong password is not repeated either.
			l := r.login()
			l.Password = "CANARY"
			if _, err := r.Authorize(t.Context(), l); err != nil {
				r.checkText("an error", err.Error())
			}
		}
	}
}
