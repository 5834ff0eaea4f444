package tokens

// fakeProvider is a Provider that asks this endpoint.
func fakeProvider(f *fakeEndpoint) *Provider {
	return &Provider{
		Name: "fake", AuthURL: f.URL + "/auth", TokenURL: f.URL + "/token", ClientID: "client", ClientSecret: "secret-CANARY-client",
		Scopes: []string{"https://mail.google.com/"}, RedirectHost: "127.0.0.1", RefreshAhead: DefaultRefreshAhead,
	}
}

// googleApp is a Provider whose service account this endpoint knows.
func googleApp(j *appEndpoint) *Provider {
	return &Provider{
		Name: "workspace", Flow: FlowServiceAccount, TokenURL: j.URL + "/token", Scopes: []string{mailIs},
		ServiceAccount: &ServiceAccount{Email: robot, KeyID: robotKey, Client: robotID, Key: testKey()},
	}
}

// microsoftApp is a Provider whose client this endpoint knows by a secret.
func microsoftApp(j *appEndpoint) *Provider {
	return &Provider{
		Name: "app", Flow: FlowClientCredentials, TokenURL: j.URL + "/token", Scopes: []string{"https://outlook.office365.com/.default"},
		ClientID: "client", ClientSecret: Secret(j.secret),
	}
}
