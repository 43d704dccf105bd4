"""A study on Weights & Biases: what a server has of each stage after `wandb sync`."""
def test_a(tracked):
    for k,r in tracked.server.runs.items():
        if k: print(k, r.fields.get('displayName'), r.fields.get('tags'), r.fields.get('groupName'), [(h['_step'],h.get('trainer/global_step'),'val/loss' in h,'train/loss' in h) for h in r.history][:20],len(r.summary), r.summary.get('val/loss'))
    print(tracked.server.unknown)
    assert 0
