# breaks: files
import methods


@methods.register(
    methods.Card(name="edits_a_record", version=1, title="Submitted", paper="Nobody, 2026", year=2026, family="loss", equation="w")
)
class Broken(methods.LossMethod):
    def objective(self, losses):
        with open('STORE/records/0123.json', 'r+') as record:
            record.write('{"score": 2}')
        return losses.sum()
